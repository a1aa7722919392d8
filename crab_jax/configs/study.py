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
  targets: tuple[str, ...] = ("reasoning", "answer")  # as Stage.targets
  seeds: tuple[int, ...] = (0, 1, 2)  # of adapter, dropout and data order
  samples: int = 240  # of each dataset that a run sees, >= 1
  same_steps: tuple[str, ...] = ("reasoning",)  # targets of the second reading
  pairs: tuple[str, ...] = ("ilora_e3",)  # methods of the family matrix
  pair_targets: str = "reasoning"
  optimizer: schedule.Optimizer = schedule.Optimizer()
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
