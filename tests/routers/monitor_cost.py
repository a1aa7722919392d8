"""What looking at the routers costs: a look, as a share of a step.

  python -m tests.routers.monitor_cost [--gin_file=gin/crab_plus_3b.gin ...]

Not a test: it takes minutes, and wants a machine with nothing else to do. Steps
and looks take turns in one process, on the last stage's rows and the weights
that the step has just made; the ratio is that of their medians.
"""

import statistics
import time

import jax
from absl import flags

from crab_jax import batch as batch_lib
from crab_jax import cli
from crab_jax import gin_utils
from crab_jax.data import tasks
from crab_jax.planning import timing
from crab_jax.routers import monitor
from crab_jax.training import huge_pages
from crab_jax.training import state as state_lib

cli.define_config_flags()
_TURNS = flags.DEFINE_integer("turns", 30, "Steps timed, and looks.", 1)


def _seconds(function) -> float:
  start = time.perf_counter()
  jax.block_until_ready(function())
  return time.perf_counter() - start


def main() -> None:
  files = cli.gin_files() or ["gin/base.gin"]
  experiment = gin_utils.experiment(files, cli.gin_settings())
  stage, model = experiment.stages[-1], experiment.model
  runner, state, frozen = timing.begin(model, stage, experiment.mesh)
  batch = batch_lib.random(model, stage.rows)
  look = monitor.of(
    state_lib.stage_model(model, stage.trains), len(tasks.Tasks())
  )
  key = jax.random.key(0)
  steps, looks = [], []

  def step():
    nonlocal state
    state, sums = runner.step(state, frozen, runner.shard_batch(batch), key)
    return sums

  for _ in range(3 + _TURNS.value):  # the first three compile and warm up
    steps.append(_seconds(step))
    looks.append(_seconds(lambda: runner.inspect(look, state, frozen, batch)))
  one, other = (statistics.median(found[3:]) for found in (steps, looks))
  every = experiment.logging.router_every
  print(
    f"step {one:.4f} s, look {other:.4f} s: {other / one:.2f} of a step; once in"
    f" {every} steps {other / one / every:.2%} of the time"
  )


if __name__ == "__main__":
  huge_pages.restart()
  cli.run(main)
