"""What media are measured in, and what every encoder tells of its units.

A clip is a list of equal *units* of one modality: frames of an image or video,
frames of a spectrogram. An encoder sees each unit alone, in a static slot of a
row, and makes at most `unit_tokens` tokens of it. So packing, the decoder and
planning count units and tokens and know no encoder.

| family        | vision unit | positions | tokens | audio unit | positions | tokens |
| Qwen2.5-Omni  | frame pair  | 256       | 64     | 2 s        | 100       | 50     |
| CLIP + BEATs  | frame       | 257       | 32     | 1 to 2 s   | 48 to 96  | 32     |
"""

import abc
from typing import Any

from crab_jax.configs import checked

# Pixels of the coordinate frame that all boxes and points of AV-UIE v2 use,
# whatever the size of the frames that the vision encoder sees.
COORDINATE_SIZE = 224
SAMPLE_RATE = 16_000  # Hz
HEARD_SAMPLES = 300 * SAMPLE_RATE  # longer audio is cut, as released


class VisionUnits(checked.Checked, abc.ABC):
  """What the settings of a vision encoder tell everybody.

  A member is a field or a property of the subclass. Fields need a default:
  without one a dataclass would take the property below for it.
  """

  @property
  @abc.abstractmethod
  def frame_size(self) -> int:
    """Pixels along one side of a square frame."""

  @property
  @abc.abstractmethod
  def unit_frames(self) -> int:
    """Frames of one unit."""

  @property
  @abc.abstractmethod
  def unit_positions(self) -> int:
    """Positions inside the encoder of one unit."""

  @property
  @abc.abstractmethod
  def unit_tokens(self) -> int:
    """Tokens of the language model that one unit becomes, always all."""

  @property
  @abc.abstractmethod
  def token_grid(self) -> tuple[int, int] | None:
    """Rows and columns of a unit's tokens; None: their positions count up."""

  @property
  def drops(self) -> bool:
    """Whether training draws dropout inside, beside the adapter's."""
    return False

  def units_of(self, frames: int) -> int:
    """Units of a clip of so many frames; the last one may be incomplete."""
    return -(-frames // self.unit_frames)


class AudioUnits(checked.Checked, abc.ABC):
  """What the settings of an audio encoder tell everybody; see `VisionUnits`."""

  @property
  @abc.abstractmethod
  def bins(self) -> int:
    """Values of one spectrogram frame."""

  @property
  @abc.abstractmethod
  def unit_frames(self) -> int:
    """Spectrogram frames of a full unit."""

  @property
  @abc.abstractmethod
  def unit_positions(self) -> int:
    """Positions inside the encoder of a full unit."""

  @property
  @abc.abstractmethod
  def unit_tokens(self) -> int:
    """Tokens of the language model that a full unit becomes."""

  @property
  @abc.abstractmethod
  def frame_rate(self) -> float:
    """Spectrogram frames a second."""

  @abc.abstractmethod
  def positions_of(self, lengths: Any) -> Any:
    """Encoder positions of units of so many frames; 0 frames: 0 positions.

    Args:
      lengths: int32[...] of numpy or jax.
    """

  @abc.abstractmethod
  def tokens_of(self, lengths: Any) -> Any:
    """Tokens of units of so many frames; as `positions_of`."""

  @abc.abstractmethod
  def unit_lengths(self, samples: int, pieces: int = 1) -> list[int]:
    """Frames of each unit of a clip; each gives a token.

    Args:
      samples: of the whole clip, 16 kHz.
      pieces: equal parts, one after the other, that the clip was made of.
    """

  @property
  def drops(self) -> bool:
    """As of `VisionUnits`."""
    return False

  @property
  def token_rate(self) -> float:
    """Tokens a second of full units."""
    return self.frame_rate * self.unit_tokens / self.unit_frames
