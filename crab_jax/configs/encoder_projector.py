"""The encoders of the family CLIP + BEATs + Q-Formers: sizes, and their units.

Each encoder is followed by a projector of its own; the defaults are the released
CLIP ViT-L/14, BEATs iter3+ and Q-Formers of two layers.
"""

import dataclasses
from typing import Any

from crab_jax.configs import checked
from crab_jax.configs import units

_FRONT_WINDOW, _FRONT_HOP = 400, 160  # samples of a spectrogram frame, 16 kHz


@dataclasses.dataclass(frozen=True)
class QueryProjector(checked.Checked):
  """A Q-Former: learnt queries that attend to the features of one unit."""

  queries: int = 32  # tokens that a unit becomes
  query_layers: int = 2
  query_width: int = 768
  query_heads: int = 12  # divides query_width
  query_mlp: int = 3072
  query_dropout: float = 0.1  # of states and attention weights, in [0, 1)

  @property
  def drops(self) -> bool:
    """Whether training draws dropout."""
    return self.query_dropout > 0

  def check_queries(self) -> None:
    """Raises ValueError if fields contradict each other."""
    name = type(self).__name__
    checked.require_positive(
      self, "queries", "query_layers", "query_width", "query_heads", "query_mlp"
    )
    checked.require(
      self.query_width % self.query_heads == 0,
      f"{name}.query_width={self.query_width} must be a multiple of"
      f" {name}.query_heads={self.query_heads}",
    )
    checked.require(
      0 <= self.query_dropout < 1,
      f"{name}.query_dropout={self.query_dropout} must be in [0, 1)",
    )


@dataclasses.dataclass(frozen=True)
class ClipVision(QueryProjector, units.VisionUnits):
  """CLIP's vision transformer and its projector.

  `projector="qformer"`: a unit is a frame. "stc": two frames, a token for each
  window of two by two patches, by convolutions. "pooled": a unit is `unit_frames`
  frames, the mean over them of each patch and the mean over the patches of each
  frame, through one linear map. The last unit of a clip repeats its last frame,
  where the published "stc" drops an odd one.
  """

  frame_size: int = 224  # pixels, square; a multiple of patch
  patch: int = 14  # pixels
  layers: int = 23  # the language model reads the last but one of the released
  width: int = 1024
  heads: int = 16  # divides width
  mlp: int = 4096
  unit_frames: int = 1  # "stc": 2; "pooled": as many as a clip has
  projector: str = "qformer"  # or "stc" or "pooled"
  stage_blocks: int = 4  # of each of the two stages of "stc"

  def check(self):
    checked.require_positive(
      self,
      "frame_size",
      "patch",
      "layers",
      "width",
      "heads",
      "mlp",
      "unit_frames",
      "stage_blocks",
    )
    checked.require(
      self.frame_size % self.patch == 0,
      f"ClipVision.frame_size={self.frame_size} must be a multiple of"
      f" ClipVision.patch={self.patch}",
    )
    checked.require(
      self.width % self.heads == 0,
      f"ClipVision.width={self.width} must be a multiple of"
      f" ClipVision.heads={self.heads}",
    )
    checked.require(
      self.projector in ("qformer", "stc", "pooled"),
      f'ClipVision.projector={self.projector!r} must be "qformer", "stc" or'
      ' "pooled"',
    )
    frames = {"qformer": 1, "stc": 2}.get(self.projector, self.unit_frames)
    checked.require(
      self.unit_frames == frames,
      f"ClipVision.unit_frames={self.unit_frames} must be {frames} with"
      f' ClipVision.projector="{self.projector}"',
    )
    checked.require(
      self.projector != "stc" or self.grid > 1,
      f"ClipVision.frame_size={self.frame_size} must hold two patches a side"
      ' with ClipVision.projector="stc"',
    )
    self.check_queries()

  def named(self) -> dict[str, Any]:
    # Checkpoints that are older than the field note none.
    found = super().named()
    if self.projector != "stc":
      del found["ClipVision.stage_blocks"]
    return found

  @property
  def drops(self) -> bool:
    return self.projector == "qformer" and super().drops

  @property
  def patches(self) -> int:
    """Patches of one frame."""
    return self.grid**2

  @property
  def grid(self) -> int:
    """Patches along a side of a frame."""
    return self.frame_size // self.patch

  @property
  def unit_positions(self) -> int:
    """Patches of a unit, and the class token of each of its frames."""
    return self.unit_frames * (self.patches + 1)

  @property
  def unit_tokens(self) -> int:
    if self.projector == "pooled":
      return self.patches + self.unit_frames
    if self.projector == "stc":
      return (self.grid // 2) ** 2
    return self.queries

  @property
  def token_grid(self) -> tuple[int, int] | None:
    return None


@dataclasses.dataclass(frozen=True)
class BeatsAudio(QueryProjector, units.AudioUnits):
  """BEATs and its Q-Former. A unit is a segment of the sound.

  `segments="pieces"`: the parts that the task's window cut, one unit each; a
  part that is longer than a unit is divided evenly into as few as fit, one that
  is too short for a patch is padded with silence. "seconds": one unit a second,
  the last padded with silence.
  """

  bins: int = 128  # mel filters; a multiple of patch
  patch: int = 16  # spectrogram frames and bins
  layers: int = 12
  width: int = 768
  heads: int = 12  # divides width
  mlp: int = 3072
  embed: int = 512  # width of a patch before its projection
  conv_taps: int = 128  # of the convolution of positions
  conv_groups: int = 16  # divides width
  buckets: int = 320  # of relative positions; a multiple of 4
  max_distance: int = 800  # more than buckets // 4
  unit_frames: int = 192  # a multiple of patch
  segments: str = "pieces"  # or "seconds"

  def check(self):
    checked.require_positive(
      self,
      "bins",
      "patch",
      "layers",
      "width",
      "heads",
      "mlp",
      "embed",
      "conv_taps",
      "conv_groups",
      "buckets",
      "unit_frames",
    )
    for name, whole, part in (
      ("bins", self.bins, "patch"),
      ("unit_frames", self.unit_frames, "patch"),
      ("width", self.width, "heads"),
      ("width", self.width, "conv_groups"),
    ):
      checked.require(
        whole % getattr(self, part) == 0,
        f"BeatsAudio.{name}={whole} must be a multiple of"
        f" BeatsAudio.{part}={getattr(self, part)}",
      )
    checked.require(
      self.buckets % 4 == 0 and self.max_distance > self.buckets // 4,
      f"BeatsAudio.buckets={self.buckets} must be a multiple of 4 and"
      f" BeatsAudio.max_distance={self.max_distance} more than a quarter of it",
    )
    checked.require(
      self.segments in ("pieces", "seconds"),
      f'BeatsAudio.segments={self.segments!r} must be "pieces" or "seconds"',
    )
    checked.require(
      self.segments == "pieces" or self.longest_unit >= units.SAMPLE_RATE,
      f"BeatsAudio.unit_frames={self.unit_frames} must hold a second with"
      ' BeatsAudio.segments="seconds"',
    )
    self.check_queries()

  @property
  def unit_positions(self) -> int:
    return self.positions_of(self.unit_frames)

  @property
  def unit_tokens(self) -> int:
    return self.queries

  @property
  def frame_rate(self) -> float:
    """Spectrogram frames a second: a hop of 160 samples."""
    return units.SAMPLE_RATE / _FRONT_HOP

  def positions_of(self, lengths: Any) -> Any:
    """Patches of so many frames; an incomplete one is left out."""
    return lengths // self.patch * (self.bins // self.patch)

  def tokens_of(self, lengths: Any) -> Any:
    """All queries where there is a patch, else none."""
    return (lengths >= self.patch) * self.queries

  @property
  def shortest_unit(self) -> int:
    """Samples that give one patch."""
    return _FRONT_WINDOW + (self.patch - 1) * _FRONT_HOP

  @property
  def longest_unit(self) -> int:
    """Samples of which every patch fits into a unit."""
    return _FRONT_WINDOW + (self.unit_frames + self.patch - 1) * _FRONT_HOP - 1

  def unit_samples(self, samples: int, pieces: int = 1) -> list[int]:
    """Samples of each unit of a clip, without the silence behind short ones.

    Args:
      samples: of the whole clip, 16 kHz.
      pieces: equal parts, one after the other, that the clip was made of.
    """
    if self.segments == "seconds":
      whole, rest = divmod(samples, units.SAMPLE_RATE)
      return [units.SAMPLE_RATE] * whole + [rest] * (rest > 0)
    return [
      size
      for piece in _parts(samples, pieces)
      for size in _parts(piece, -(-piece // self.longest_unit))
    ]

  def frames_of(self, samples: int) -> int:
    """Frames of a unit of so many samples, silence behind it included."""
    least = self.shortest_unit
    if self.segments == "seconds":
      least = units.SAMPLE_RATE
    frames = 1 + (max(samples, least) - _FRONT_WINDOW) // _FRONT_HOP
    return min(frames, self.unit_frames)  # of the rest no patch is complete

  def unit_lengths(self, samples: int, pieces: int = 1) -> list[int]:
    return [self.frames_of(n) for n in self.unit_samples(samples, pieces)]


def _parts(total: int, count: int) -> list[int]:
  """Sizes of `count` parts that differ by one at most; none of nothing."""
  ends = [total * (i + 1) // count for i in range(count)]
  sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
  return [size for size in sizes if size]
