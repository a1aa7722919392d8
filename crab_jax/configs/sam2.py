"""The mask model SAM 2.1: its four released sizes, and any smaller one."""

import dataclasses
import itertools

from crab_jax.configs import checked

STAGES = 4  # of the encoder; each after the first halves the map
DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Sam2(checked.Checked):
  """The shapes of SAM 2.1; the defaults are those of hiera-tiny.

  Reference: SAM 2 (arXiv 2408.00714) and Hiera (arXiv 2306.00989).
  """

  image_size: int = 1024  # pixels of a side; a multiple of 32
  width: int = 96  # of the first stage; doubles with every stage
  heads: int = 1  # of the first stage; double with every stage
  blocks: tuple[int, ...] = (1, 2, 7, 2)  # of the stages
  windows: tuple[int, ...] = (8, 4, 14, 7)  # side of a window of each stage
  global_blocks: tuple[int, ...] = (5, 7, 9)  # see the whole map; over all
  background: int = 7  # side of the position embedding that is resized
  tile: int = 8  # side of the position embedding that is repeated
  features: int = 256  # width of neck, prompts and mask decoder
  mask_channels: int = 16  # of an encoded mask prompt; a multiple of 4
  decoder_heads: int = 8
  decoder_mlp: int = 2048
  iou_hidden: int = 256  # width inside the head of predicted overlaps
  # Of the encoder. The mask decoder is float32: its thresholds and its choice
  # of a mask hang on small differences.
  encoder_dtype: str = "float32"

  @property
  def widths(self) -> tuple[int, ...]:
    """Channels of the four stages."""
    return tuple(self.width * 2**stage for stage in range(STAGES))

  @property
  def grid(self) -> int:
    """Side of the map that prompts and mask decoder attend to."""
    return self.image_size // 16

  @property
  def logits(self) -> int:
    """Side of the masks that the decoder makes."""
    return self.image_size // 4

  def check(self):
    checked.require_positive(
      self, "image_size", "width", "heads", "background", "tile", "features",
      "mask_channels", "decoder_heads", "decoder_mlp", "iou_hidden",
    )  # fmt: skip
    checked.require(
      self.image_size % 32 == 0 and self.logits % self.tile == 0,
      f"Sam2.image_size={self.image_size} must be a multiple of 32 and of"
      f" {4 * self.tile} (4 * Sam2.tile)",
    )
    checked.require(
      len(self.blocks) == len(self.windows) == STAGES
      and min(self.blocks + self.windows) > 0,
      f"Sam2.blocks and Sam2.windows must have {STAGES} positive numbers",
    )
    # The first block of a stage still has the window of the stage before it,
    # and pools it.
    checked.require(
      all(window % 2 == 0 for window in self.windows[:-1]),
      f"Sam2.windows={self.windows}: all but the last must be even",
    )
    firsts = set(itertools.accumulate(self.blocks[:-1]))
    checked.require(
      all(0 <= block < sum(self.blocks) for block in self.global_blocks)
      and not firsts & set(self.global_blocks),
      f"Sam2.global_blocks={self.global_blocks} must be of"
      f" 0..{sum(self.blocks) - 1}, and no first block of a stage",
    )
    checked.require(
      self.width % self.heads == 0
      and self.features % (2 * self.decoder_heads) == 0
      and self.features % 8 == 0
      and self.mask_channels % 4 == 0,
      "Sam2.width must divide by heads, features by 8 and by 2 * decoder_heads,"
      " mask_channels by 4",
    )
    checked.require(
      self.encoder_dtype in DTYPES,
      f"Sam2.encoder_dtype={self.encoder_dtype!r} must be one of {DTYPES}",
    )


SAM2_SIZES: dict[str, Sam2] = {
  "tiny": Sam2(),
  "small": Sam2(blocks=(1, 2, 11, 2), global_blocks=(7, 10, 13)),
  "base-plus": Sam2(
    width=112,
    heads=2,
    blocks=(2, 3, 16, 3),
    global_blocks=(12, 16, 20),
    background=14,
  ),
  "large": Sam2(
    width=144,
    heads=2,
    blocks=(2, 6, 36, 4),
    windows=(8, 4, 16, 8),
    global_blocks=(23, 33, 43),
  ),
}
