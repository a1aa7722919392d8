"""What can become of an annotation: the status codes of a preparation."""

import enum


class Status(enum.StrEnum):
  """Rows that are `USABLE` become records; others are left out."""

  OK = "ok"
  SHORT_VIDEO = "short_video"  # fewer frames than wanted: the last repeated
  NO_MASK = "no_mask"  # there is no true mask of the object
  MASK_SIZE = "mask_size"  # of other pixels than its picture: stretched over it
  BAD_REFERENCE = "bad_reference"  # says nothing that answers compare with
  MISSING_KEY = "missing_key"  # the annotation lacks a key, or is no object
  MISSING_FILE = "missing_file"  # no such file, or an empty path
  BAD_VIDEO = "bad_video"  # does not open, or does not decode to its end
  BAD_AUDIO = "bad_audio"
  TRUNCATED = "truncated"  # a file ends before the time that it declares
  BAD_IMAGE = "bad_image"
  FAILED = "failed"  # anything else that went wrong, with what was raised
  CRASHED = "crashed"  # no process survives it: a decoder crashes, or memory
  EMPTY_TARGET = "empty_target"  # nothing to learn from


USABLE = (
  Status.OK,
  Status.SHORT_VIDEO,
  Status.NO_MASK,
  Status.MASK_SIZE,
  Status.BAD_REFERENCE,
)


class RecordError(Exception):
  """One annotation cannot become a record: a status and the reason."""

  def __init__(self, status: Status, reason: str):
    super().__init__(f"{status}: {reason}")
    self.status = status
    self.reason = reason
