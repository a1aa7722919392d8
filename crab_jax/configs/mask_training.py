"""How a mask model is trained on the masks of the records."""

import dataclasses

from crab_jax.configs import checked
from crab_jax.configs import sam2
from crab_jax.configs import schedule


@dataclasses.dataclass(frozen=True)
class MaskTraining(checked.Checked):
  """A SAM 2.1 trained from random parameters on records with true masks."""

  model: sam2.Sam2 = sam2.Sam2()
  steps: int = 300  # 0: not at all
  batch: int = 16  # pictures a step
  pictures: int = 2048  # at most, evenly spaced; each takes 0.2 MB of memory
  optimizer: schedule.Optimizer = schedule.Optimizer()  # AdamW, no decay
  # Of the corners of a prompt's box, as a share of the true box's sides.
  jitter: float = 0.1

  def check(self):
    checked.require_positive(self, "batch", "pictures")
    checked.require(
      self.steps >= 0 and 0 <= self.jitter < 1,
      f"MaskTraining.steps={self.steps} must be at least 0 and"
      f" MaskTraining.jitter={self.jitter} in [0, 1)",
    )
    # All parameters are updated as one vector: see `training.mask_step`.
    checked.require(
      self.optimizer.name == "adamw" and not self.optimizer.weight_decay,
      'MaskTraining.optimizer must be "adamw" without weight decay',
    )
