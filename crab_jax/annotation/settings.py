"""The settings of one annotation, as the command's flags give them."""

import dataclasses

WRITERS = ("template", "bare", "teacher")
WEAK = ("skip", "whole", "teacher")
MEDIA_AS = ("link", "copy")
REVIEWS = ("none", "flagged", "all")


@dataclasses.dataclass(frozen=True)
class Settings:
  """How rows become annotations.

  Attributes:
    task: of rows that name none.
    split: shares of train, val and test by group.
    window: seconds of the parts into which clips with events are cut, whose
      times are whole seconds; 0: clips stay whole, with their true times.
    windows_per_clip: at most.
    weak: what becomes of rows with labels and no times: "skip", "whole" (the
      label lasts as long as the clip) or "teacher" (it proposes times).
    writer: of the reasoning: "template", "bare" (conclusions alone), "teacher".
    templates: a file that replaces ours, or None.
    media_as: "link" or "copy"; parts of files are cut anew in any case.
    require_review: which rows are built only when accepted: "none",
      "flagged" or "all".
    allow_overlap: whether what belongs together may be in several splits.
    allow_invalid: whether lines that are no rows are left out.
  """

  task: str | None = None
  split: str = "80,10,10"
  window: float = 10.0
  windows_per_clip: int = 3
  weak: str = "skip"
  writer: str = "template"
  templates: str | None = None
  media_as: str = "link"
  require_review: str = "flagged"
  allow_overlap: bool = False
  allow_invalid: bool = False
