"""What happens beside the steps of a stage: saving, logging, validation."""

import dataclasses

from crab_jax.configs import checked


@dataclasses.dataclass(frozen=True)
class Saving(checked.Checked):
  """Checkpoints."""

  every: int = 200  # steps
  keep: int = 3  # newest checkpoints kept


@dataclasses.dataclass(frozen=True)
class Logging(checked.Checked):
  """What a run writes while it trains."""

  every: int = 10  # steps between two lines of metrics.jsonl
  router_every: int = 50  # steps between two router statistics; 0: never
  tensorboard: bool = True
  wandb: bool = False  # needs the extra "wandb"


@dataclasses.dataclass(frozen=True)
class Validation(checked.Checked):
  """What a stage is judged by while it trains, on the records of "val"."""

  every: int = 0  # steps between two validations; 0: none
  batches: int = 16  # of Rows.rows rows, at most, for the loss by dataset
  clips: int = 0  # of each dataset, decoded and scored; 0: none
  # "loss" or "score", of all or of one dataset ("loss/ave"): the checkpoint
  # that is best by it is kept, and the stage hands it on. None: the last one.
  best: str | None = None

  def check(self):
    for name, least in (("every", 0), ("batches", 1), ("clips", 0)):
      value = getattr(self, name)
      checked.require(
        value >= least, f"Validation.{name}={value} must be at least {least}"
      )
    if self.best is None:
      return
    kind = self.best.split("/")[0]
    checked.require(
      kind in ("loss", "score"),
      f'Validation.best={self.best!r} must be "loss", "score", or one of them'
      ' of a dataset, as "loss/ave"',
    )
    checked.require(
      self.every > 0, f"Validation.best={self.best!r} needs Validation.every"
    )
    checked.require(
      kind == "loss" or self.clips > 0,
      f"Validation.best={self.best!r} needs Validation.clips",
    )
