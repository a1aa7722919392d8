"""How held-out clips are answered."""

import dataclasses

from crab_jax.configs import checked
from crab_jax.configs import sam2


@dataclasses.dataclass(frozen=True)
class Evaluation(checked.Checked):
  """Decoding of held-out clips."""

  batch: int = 16  # prompts decoded together
  max_new_tokens: int = 96
  limit: int | None = None  # clips a dataset at most; None: all
  tasks: tuple[str, ...] | None = None  # None: all that have a reference
  # Whether the base alone, without its adapter, answers the same clips.
  base_alone: bool = False
  # Whether scenes that all tasks ask about are answered and compared, where the
  # records have such (`World.unified_samples`).
  unified: bool = False
  mask_batch: int = 8  # pictures whose masks are drawn together
  mask_dtype: str | None = None  # of its encoder; None: the mask model's own

  def check(self):
    checked.require_positive(self, "mask_batch")
    checked.require(
      self.mask_dtype in (None, *sam2.DTYPES),
      f"Evaluation.mask_dtype={self.mask_dtype!r} must be None or one of"
      f" {sam2.DTYPES}",
    )
