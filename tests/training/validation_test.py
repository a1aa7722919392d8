"""Validation: losses by dataset, hosts in step, the best state kept."""

import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.training import metrics
from crab_jax.training import optim
from crab_jax.training import pmapped
from crab_jax.training import state as state_lib
from crab_jax.training import trainer
from crab_jax.training import validation
from tests.training import trainer_test as toy

_STAGE = configs.Stage(name="toy", steps=7, trains="all")
_NAMES = ("first", "second")


def _batch(tasks, labels, weights):
  """Eight rows of one supervised position."""
  return {
    "tasks": np.array(tasks, np.int32)[:, None],
    "supervised": np.zeros((8, 1), np.int32),
    "labels": np.array(labels, np.float32)[:, None],
    "weights": np.array(weights, np.float32)[:, None],
  }


def _likelihood(params, batch, key):
  return batch["labels"] * params["scale"]


def _validator(batches, config=None, **more):
  optimizer = optim.optimizer(configs.Optimizer(), 1)
  runner = pmapped.PmapRunner(
    8, 1, likelihood=_likelihood, optimizer=optimizer, tasks=2
  )
  params = runner.shard({"scale": np.float32(2)})
  made = validation.Validator(
    config or configs.Validation(every=3, batches=4),
    _STAGE,
    measure=runner.make_eval_step(_likelihood, 2),
    batches=lambda: iter(batches),
    processes=1,
    task_names=_NAMES,
    **more,
  )
  return made, params


def test_losses_by_dataset_golden():
  """Sums over batches, not means of means; padding weighs nothing."""
  one = _batch([0] * 4 + [1] * 4, range(8), [1] * 7 + [0])
  two = _batch([0] * 8, [10] * 8, [1] + [0] * 7)
  validator, params = _validator([one, two])
  found = validator.losses(params, {})
  first = 2 * (0 + 1 + 2 + 3 + 10)
  second = 2 * (4 + 5 + 6)
  assert found == {
    "validation/loss": pytest.approx((first + second) / 8, rel=1e-6),
    "validation/loss/first": pytest.approx(first / 5, rel=1e-6),
    "validation/loss/second": pytest.approx(second / 3, rel=1e-6),
  }


def test_a_dataset_without_tokens_has_no_loss_and_batches_are_bounded():
  batches = [_batch([0] * 8, [i] * 8, [1] * 8) for i in range(9)]
  validator, params = _validator(batches)
  found = validator.losses(params, {})
  assert set(found) == {"validation/loss", "validation/loss/first"}
  assert found["validation/loss"] == pytest.approx(2 * (0 + 1 + 2 + 3) / 4)


def test_intervals_and_the_last_step():
  validator, _ = _validator([])
  assert [step for step in range(1, 8) if validator.due(step)] == [3, 6, 7]
  off, _ = _validator([], configs.Validation())
  assert not any(off.due(step) for step in range(1, 8))


def test_a_host_with_fewer_batches_keeps_step():
  batch = _batch([0] * 8, [1] * 8, [1] * 8)
  found = list(validation.exactly(iter([batch]), 3))
  assert [float(b["weights"].sum()) for b in found] == [8, 0, 0]
  with pytest.raises(errors.UserError, match="no validation records"):
    next(validation.exactly(iter([]), 2))


def _state(step):
  optimizer = optim.optimizer(configs.Optimizer(), 1)
  state = state_lib.create({"scale": jnp.float32(step)}, optimizer)
  return state.replace(step=jnp.int32(step))


@pytest.mark.parametrize(
  ("metric", "values", "steps"),
  [
    ("loss", [3.0, 2.0, 2.0, 2.5, 1.0], [1, 2, 5]),
    ("score", [0.1, 0.3, 0.3, 0.2, 0.4], [1, 2, 5]),
    ("loss/first", [1.0, 2.0, 3.0, 4.0, 5.0], [1]),
  ],
)
def test_the_best_state_is_kept_and_survives_a_stop(
  tmp_path, metric, values, steps
):
  kept = []
  for step, value in enumerate(values, 1):
    best = validation.Best(tmp_path / "best", metric)  # a new start each time
    if best.offer({f"validation/{metric}": value}, lambda s=step: _state(s)):
      kept.append(step)
    assert best.step == kept[-1]
    assert best.value == values[kept[-1] - 1]
    restored = best.restore(_state(0))
    assert float(restored.params["scale"]) == kept[-1]
    best.close()
  assert kept == steps


def test_an_unknown_metric_is_named(tmp_path):
  best = validation.Best(tmp_path / "best", "loss/third")
  with pytest.raises(errors.UserError, match="'loss/third': there are only l"):
    best.offer({"validation/loss": 1.0}, lambda: _state(1))
  best.close()


class _Judge(validation.Validator):
  """In place of a Validator: a loss that is lowest after step 4."""

  decodes = True

  def __init__(self, folder):
    self.best = validation.Best(folder, "loss")
    self.seen = []

  def due(self, step):
    return step % 2 == 0

  def losses(self, params, frozen):
    return {"validation/loss": 1.0}

  def checked(self, step, params):
    self.seen.append((step, np.shape(params["a"]["kernel"])))
    return {"validation/loss": abs(step - 4.0)}

  def keep(self, scalars, state):
    self.best.offer(scalars, state)


def test_the_loop_validates_and_its_steps_stay_the_same(tmp_path):
  judge = _Judge(tmp_path / "best")
  straight = toy._loop(tmp_path / "plain", 6, toy._Loader())
  judged = toy._loop(tmp_path / "judged", 6, toy._Loader(), validator=judge)
  jax.tree.map(np.testing.assert_array_equal, straight, judged)
  assert judge.seen == [(2, (3,)), (4, (3,)), (6, (3,))]
  assert judge.best.step == 4
  judge.best.close()
  lines = [
    line
    for line in metrics.read(tmp_path / "judged")
    if "validation/loss" in line
  ]
  assert [(line["step"], line["validation/loss"]) for line in lines] == [
    (2, 2.0),
    (4, 0.0),
    (6, 2.0),
  ]


def _validations(folder):
  return [
    (line["step"], line["validation/loss"])
    for line in metrics.read(folder)
    if "validation/loss" in line
  ]


class _Ended(Exception):
  """Stands in for the end of the process."""


class _Terminated(_Judge):
  """SIGTERM comes while it validates."""

  def __init__(self, folder):
    super().__init__(folder)
    self.left = threading.Event()

  def losses(self, params, frozen):
    os.kill(os.getpid(), signal.SIGTERM)
    assert self.left.wait(10)
    raise _Ended


def test_sigterm_ends_a_validation_at_once_and_it_is_made_up_for(tmp_path):
  judge = _Terminated(tmp_path / "best")
  with pytest.raises(_Ended):
    toy._loop(
      tmp_path / "run",
      6,
      toy._Loader(),
      every=100,
      validator=judge,
      exit_now=lambda _: judge.left.set(),
    )
  judge.best.close()
  assert _validations(tmp_path / "run") == []
  again = _Judge(tmp_path / "best")
  ended = toy._loop(
    tmp_path / "run", 6, toy._Loader(), every=100, validator=again
  )
  again.best.close()
  assert _validations(tmp_path / "run") == [(2, 2.0), (4, 0.0), (6, 2.0)]
  straight = toy._loop(tmp_path / "plain", 6, toy._Loader())
  jax.tree.map(np.testing.assert_array_equal, straight, ended)


def test_a_run_that_stops_when_a_validation_is_due_stops_first(tmp_path):
  judge = _Judge(tmp_path / "best")
  with pytest.raises(trainer.Stopped, match="step 4"):
    toy._loop(tmp_path, 6, toy._Loader(terminate=4), every=100, validator=judge)
  assert [step for step, _ in judge.seen] == [2]
  toy._loop(tmp_path, 6, toy._Loader(), every=100, validator=judge)
  assert [step for step, _ in judge.seen] == [2, 4, 6]
  toy._loop(tmp_path, 6, toy._Loader(), every=100, validator=judge)
  assert [step for step, _ in judge.seen] == [2, 4, 6]  # once is enough
  judge.best.close()
