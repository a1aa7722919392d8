"""Everything that one run needs to know."""

import dataclasses

from crab_jax.configs import checked
from crab_jax.configs import decoding
from crab_jax.configs import mask_training
from crab_jax.configs import parallelism
from crab_jax.configs import pipeline
from crab_jax.configs import schedule
from crab_jax.configs import sources
from crab_jax.configs import study
from crab_jax.configs import thinker
from crab_jax.configs import upkeep


@dataclasses.dataclass(frozen=True)
class Experiment(checked.Checked):
  """Everything that one run of `crab_jax.train` needs to know."""

  model: thinker.Model
  stages: list[schedule.Stage]  # without those of no steps
  data: pipeline.Data = pipeline.Data()
  mesh: parallelism.Mesh = parallelism.Mesh()
  hosts: parallelism.Hosts = parallelism.Hosts()
  saving: upkeep.Saving = upkeep.Saving()
  logging: upkeep.Logging = upkeep.Logging()
  validation: upkeep.Validation = upkeep.Validation()
  evaluation: decoding.Evaluation = decoding.Evaluation()
  preparation: sources.Preparation = sources.Preparation()
  world: sources.World | None = None  # make the embedded dataset and use it
  records: str | None = None  # prepared records; None: those of `world`
  base: str | None = None  # a converted checkpoint; None: random weights
  seed: int = 0  # of parameters and dropout
  # Folder of compiled programs. None: what JAX_COMPILATION_CACHE_DIR says, else
  # in the work directory, which outlives a machine that is taken away; "off": none.
  compiled: str | None = None
  # Trains a mask model on the masks of the records; None: places are boxes.
  masks: mask_training.MaskTraining | None = None
  transfer: study.Transfer | None = None  # for `crab_jax.transfer` only

  @property
  def required_transfer(self) -> study.Transfer:
    """The settings of the transfer study, for code that needs them.

    Raises:
      ValueError: there are none.
    """
    if self.transfer is None:
      raise ValueError("Experiment.transfer is not set")
    return self.transfer

  def check(self):
    stages = [stage for stage in self.stages if stage.steps]
    object.__setattr__(self, "stages", stages)
    checked.require(
      (self.world is None) != (self.records is None),
      "set one of Experiment.world and Experiment.records, not both or none",
    )
    names = [stage.name for stage in self.stages]
    checked.require(
      len(set(names)) == len(names) > 0,
      f"Experiment.stages must have names of their own, got {names}",
    )
    checked.require(
      self.model.adapter is not None
      or not any("adapter" in stage.groups for stage in self.stages),
      'a Stage that trains the "adapter" needs Model.adapter',
    )
    adapts = ["adapter" in stage.groups for stage in self.stages]
    checked.require(
      adapts == sorted(adapts),
      f"of Experiment.stages {names} one without the adapter follows one that"
      " trains it",
    )
    checked.require(
      self.transfer is None or self.model.frozen_dtype is None,
      "a study of transfer (Experiment.transfer) compares adapters on the base"
      " as it is: set Model.frozen_dtype = None",
    )
