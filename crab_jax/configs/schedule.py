"""The schedule: a stage of training, what it reads and how it learns."""

import dataclasses

from crab_jax.configs import checked
from crab_jax.configs import pipeline


@dataclasses.dataclass(frozen=True)
class Optimizer(checked.Checked):
  """AdamW or Muon, clipped, with linear warm-up and a cosine to `final`."""

  name: str = "adamw"  # "muon": kernels by Muon, all else by AdamW
  peak: float = 1e-4  # learning rate after warm-up
  final: float = 0.0  # what the rate falls towards, as a share of peak
  warmup: float = 0.03  # share of the steps
  b1: float = 0.9
  b2: float = 0.999
  eps: float = 1e-8
  weight_decay: float = 0.0
  clip: float = 1.0  # global gradient norm

  def check(self):
    checked.require(
      self.name in ("adamw", "muon"),
      f'Optimizer.name={self.name!r} must be "adamw" or "muon"',
    )


# What a stage may train: the adapter, or what of the base (the groups of
# `paradigms.network`; "boundary": embeddings that a family adds).
GROUPS = ("adapter", "projectors", "boundary", "towers", "lm")
Trains = str | tuple[str, ...]


def groups(trains: Trains) -> frozenset[str]:
  """The groups that a value of `Stage.trains` names; "all": the whole base."""
  named = (trains,) if isinstance(trains, str) else trains
  base = frozenset(GROUPS) - {"adapter"}
  return frozenset(named) - {"all"} | (base if "all" in named else frozenset())


@dataclasses.dataclass(frozen=True)
class Stage(checked.Checked):
  """One stage of training: what it reads, what it trains, for how long."""

  name: str
  steps: int  # 0: `Experiment` leaves the stage out
  trains: Trains  # "all" (the base), one of GROUPS, or several of them
  optimizer: Optimizer = Optimizer()
  mixture: dict[str, float] | None = None  # dataset -> weight; None: by size
  rows: pipeline.Rows = pipeline.Rows()
  accumulate: int = 1  # micro-batches a step
  targets: str = "reasoning"  # "answer": only the tagged answer

  def check(self):
    checked.require(
      bool(self.groups) and self.groups <= {*GROUPS},
      f'Stage.trains={self.trains!r} must be "all", or one or more of'
      f" {', '.join(GROUPS)}",
    )
    checked.require(
      self.steps >= 0, f"Stage.steps={self.steps} must be at least 0"
    )
    checked.require(
      self.rows.rows % self.accumulate == 0,
      f"Rows.rows={self.rows.rows} must be a multiple of"
      f" Stage.accumulate={self.accumulate}",
    )
    checked.require(
      self.targets in ("reasoning", "answer"),
      f'Stage.targets={self.targets!r} must be "reasoning" or "answer"',
    )

  @property
  def groups(self) -> frozenset[str]:
    """What it trains, of GROUPS."""
    return groups(self.trains)
