"""The compiled programs of a study, one set for each method.

Runs of a method share the step, the fresh adapter, the loss and generation:
only arrays differ between them (the schedule's length is one of them), so a
process compiles each program once.
"""

import dataclasses
import functools
from typing import cast

import jax
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax.ablation import grid
from crab_jax.data import media_cache
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import decode
from crab_jax.paradigms import thinker
from crab_jax.routers import statistics as router_statistics
from crab_jax.training import losses
from crab_jax.training import optim
from crab_jax.training import runner as runner_lib
from crab_jax.training import state as state_lib
from crab_jax.training import step as step_lib


@dataclasses.dataclass(frozen=True)
class Programs:
  """What the runs of one method run.

  Attributes:
    model: the model, its adapter that of the method.
    runner: runs the training step.
    gate_sums: of all tokens of a batch; None: the method has no router.
    answerer: answers prompts.
    tasks: number of datasets that a batch may hold.
  """

  model: configs.Model
  runner: runner_lib.Runner
  gate_sums: router_statistics.Collector | None
  answerer: decode.Answerer
  tasks: int

  @functools.cached_property
  def _fresh(self):
    def make(key):
      params = nn.meta.unbox(thinker.init(key, self.model))
      return state_lib.split(params, "adapter")[0]

    return jax.jit(make)

  def adapter(self, seed: int) -> array_types.Tree:
    """A fresh adapter."""
    return self._fresh(jax.random.key(seed))

  @functools.cached_property
  def _sums(self):
    network = thinker.Thinker(self.model)

    def sums(params, batch):
      found = network.apply({"params": params}, batch, method="loss")
      # Flax cannot know what the method returns.
      nll = cast(thinker.Loss, found).nll
      return step_lib.by_task(nll, batch, self.tasks)

    return jax.jit(sums)

  def loss_sums(
    self, params: array_types.Tree, batch: array_types.Batch
  ) -> step_lib.Metrics:
    """`step.by_task` of one batch, without dropout."""
    return self._sums(params, batch)


def make(
  experiment: configs.Experiment,
  method: str,
  tokenizer: tokenizers.Tokenizer,
  longest: samples.Lengths,
  table: tasks.Tasks,
  cache: media_cache.Cache | None = None,
) -> Programs:
  """The programs of a method; nothing is compiled yet.

  Args:
    experiment: its `transfer` is set.
    method: of `grid.METHODS`.
    tokenizer: of the backbone.
    longest: the longest prompt of the study: all prompts share one shape.
    table: the tasks.
    cache: keeps decoded media.
  """
  study = experiment.required_transfer
  model = state_lib.stage_model(
    grid.model(experiment.model, method), study.trains
  )
  # Nothing of the update depends on the number of steps: see `optim`.
  optimizer = optim.optimizer(study.optimizer, 1)
  runner = runner_lib.build(
    study.rows.rows,
    1,
    mesh=experiment.mesh,
    model=model,
    likelihood=losses.likelihood(model),
    optimizer=optimizer,
    tasks=len(table),
  )
  maker = samples.sample_maker(
    tokenizer, experiment.data, model, table, cache=cache
  )
  answerer = decode.Answerer(
    model, {}, maker, tokenizer, experiment.evaluation, least=longest
  )
  gate_sums = (
    router_statistics.Collector(model, len(table)) if model.routes else None
  )
  return Programs(model, runner, gate_sums, answerer, len(table))
