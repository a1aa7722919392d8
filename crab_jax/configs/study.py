"""A study of positive transfer: what is trained and compared."""

import dataclasses

from crab_jax.configs import checked
from crab_jax.configs import pipeline
from crab_jax.configs import schedule


@dataclasses.dataclass(frozen=True)
class Transfer(checked.Checked):
  """A study of positive transfer: what is trained and compared.

  Every run tunes one adapter on the same frozen backbone; see
  `ablation.grid`. The adapters are changes of `Model.adapter`.
  """

  tasks: tuple[str, ...] | None = None  # datasets compared; None: all there are
  methods: tuple[str, ...] = (  # rows of ablation.grid.METHODS
    "lora",
    "lora_wide",
    "uniform",
    "separate_a",
    "ilora_e2",
    "ilora_e3",
    "ilora_e4",
  )
  baseline: str = "lora"  # the method of the runs with one dataset
  # What every run tunes, as Stage.trains; the "adapter" is fresh in each, what
  # trains beside it begins as the backbone has it.
  trains: schedule.Trains = "adapter"
  targets: tuple[str, ...] = ("reasoning", "answer")  # as Stage.targets
  seeds: tuple[int, ...] = (0, 1, 2)  # of adapter, dropout and data order
  samples: int = 240  # of each dataset that a run sees, >= 1
  same_steps: tuple[str, ...] = ("reasoning",)  # targets of the second reading
  pairs: tuple[str, ...] = ("ilora_e3",)  # methods of the family matrix
  pair_targets: str = "reasoning"
  # Methods whose score is shown against the number of samples, and numbers
  # of samples of each dataset beside `samples`; (): no such runs.
  curves: tuple[str, ...] = ()
  curve_samples: tuple[int, ...] = ()
  optimizer: schedule.Optimizer = schedule.Optimizer()
  # Peaks of the learning rate that every arm tries (see `ablation.rates`), on
  # seeds of their own; (): all train with the optimizer's.
  rates: tuple[float, ...] = ()
  rate_seeds: tuple[int, ...] = ()
  rows: pipeline.Rows = pipeline.Rows()
  loss_samples: int = 32  # validation records a dataset for the loss
  claim_minutes: float = 10.0  # a machine silent for so long has lost its run
  cache_gb: float = 2.0  # GB of decoded clips that a process keeps at most

  def check(self):
    for name in ("methods", "targets", "seeds"):
      values = getattr(self, name)
      checked.require(
        len(set(values)) == len(values) > 0,
        f"Transfer.{name}={values} must have one or more, each once",
      )
    for name in ("targets", "same_steps"):
      checked.require(
        set(getattr(self, name)) <= {"reasoning", "answer"},
        f'Transfer.{name}={getattr(self, name)} may have "reasoning", "answer"',
      )
    checked.require(
      self.pair_targets in self.targets
      and set(self.same_steps) <= set(self.targets),
      f"Transfer.pair_targets={self.pair_targets!r} and Transfer.same_steps="
      f"{self.same_steps} must be among Transfer.targets={self.targets}",
    )
    groups = schedule.groups(self.trains)
    checked.require(
      "adapter" in groups and groups <= {*schedule.GROUPS},
      f'Transfer.trains={self.trains!r} must have the "adapter"; beside it may'
      f" stand {', '.join(schedule.GROUPS[1:])}",
    )
    self._check_rates()
    self._check_curves()
    for name in ("samples", "loss_samples"):
      checked.require(
        getattr(self, name) >= 1,
        f"Transfer.{name}={getattr(self, name)} must be at least 1",
      )
    checked.require(
      self.cache_gb >= 0,
      f"Transfer.cache_gb={self.cache_gb} must be at least 0",
    )
    checked.require(
      self.claim_minutes > 0,
      f"Transfer.claim_minutes={self.claim_minutes} must be above 0",
    )

  def _check_rates(self):
    checked.require(
      bool(self.rates) == bool(self.rate_seeds),
      f"Transfer.rates={self.rates} are tried on Transfer.rate_seeds="
      f"{self.rate_seeds}: set both or none",
    )
    checked.require(
      not set(self.rate_seeds) & set(self.seeds),
      f"Transfer.rate_seeds={self.rate_seeds} and Transfer.seeds={self.seeds}"
      " share a seed: a rate chosen on it would flatter its results",
    )
    checked.require(
      len(set(self.rates)) == len(self.rates)
      and all(rate > 0 for rate in self.rates),
      f"Transfer.rates={self.rates} must be above 0, each once",
    )

  def _check_curves(self):
    checked.require(
      bool(self.curves) == bool(self.curve_samples),
      f"Transfer.curves={self.curves} need Transfer.curve_samples="
      f"{self.curve_samples}: set both or none",
    )
    checked.require(
      all(1 <= n != self.samples for n in self.curve_samples)
      and len(set(self.curve_samples)) == len(self.curve_samples),
      f"Transfer.curve_samples={self.curve_samples} must be at least 1, each"
      f" once, and other than Transfer.samples={self.samples}",
    )
    checked.require(
      set(self.curves) <= set(self.methods),
      f"Transfer.curves={self.curves} must be among Transfer.methods="
      f"{self.methods}",
    )
