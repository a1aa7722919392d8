"""The loop: exact resume, stop on request, non-finite loss, the log."""

import json
import os
import pathlib
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.training import checkpoint
from crab_jax.training import metrics
from crab_jax.training import optim
from crab_jax.training import pmapped
from crab_jax.training import preemption
from crab_jax.training import profiling
from crab_jax.training import recovery
from crab_jax.training import state as state_lib
from crab_jax.training import step_log
from crab_jax.training import trainer

_TASKS = ("first", "second")


class _Loader:
  """Batches drawn from their own number; poisoned or signalled on request."""

  def __init__(self, poison=None, terminate=None):
    self.next = 0
    self.poison = poison
    self.terminate = terminate
    self.handler = None

  def __next__(self):
    rng = np.random.default_rng(self.next)
    self.next += 1
    if self.next == self.terminate:
      os.kill(os.getpid(), signal.SIGTERM)
      while not self.handler.requested:  # another thread reads the signal
        time.sleep(0.001)
    batch = {
      "segments": np.ones((8, 4), np.int32),
      "tasks": rng.integers(0, 2, (8, 4)).astype(np.int32),
      "supervised": np.zeros((8, 2), np.int32),
      "labels": rng.normal(size=(8, 2)).astype(np.float32),
      "weights": np.ones((8, 2), np.float32),
      "sample_ids": np.stack(
        [np.zeros((8, 1), np.int32), np.arange(8, dtype=np.int32)[:, None]], -1
      ),
    }
    if self.next == self.poison:
      batch["labels"][3, 1] = np.nan
    return batch

  def get_state(self) -> bytes:
    return str(self.next).encode()

  def set_states(self, states) -> None:
    (state,) = states
    self.next = int(state)


def _likelihood(params, batch, key):
  noise = jax.random.normal(key, ())  # as dropout is: differs a step
  guess = params["a"]["kernel"][0] + 0.01 * noise
  return (batch["labels"] - guess) ** 2


def _exit(text):
  raise AssertionError(text)


def _loop(
  folder,
  steps,
  loader,
  every=2,
  profile=None,
  validator=None,
  monitor=None,
  router_every=50,
  exit_now=_exit,
):
  stage = configs.Stage(name="toy", steps=steps, trains="all")
  optimizer = optim.optimizer(configs.Optimizer(peak=0.1, warmup=0.5), 10)
  runner = pmapped.PmapRunner(
    8, 1, likelihood=_likelihood, optimizer=optimizer, tasks=len(_TASKS)
  )
  logging = configs.Logging(
    every=1 if monitor is None else 100,
    router_every=router_every,
    tensorboard=False,
  )
  handler = loader.handler = preemption.Handler(exit_now=exit_now)
  loop = trainer.Loop(
    stage=stage,
    runner=runner,
    loader=loader,
    task_names=_TASKS,
    recovery=recovery.CheckpointRecovery(
      checkpoint.StageCheckpoints(folder / "checkpoints", keep=2),
      every,
      runner,
      loader,
      handler,
    ),
    log=step_log.StepLog(
      stage,
      logging,
      metrics.Writer(folder, logging),
      runner,
      optim.schedule(configs.Optimizer(), 10),
      _TASKS,
      monitor,
    ),
    validator=validator,
    callbacks=(profiling.Profiler(profile, folder / "profile"),),
  )
  state = state_lib.create({"a": {"kernel": jnp.zeros(3)}}, optimizer)
  if loop.recovery.has_checkpoint():
    state = jax.eval_shape(lambda: state)  # all that it needs then
  try:
    with handler:
      return runner.to_save(loop.run(state, {}, jax.random.key(0)))
  finally:
    loop.recovery.close()


def _lines(folder: pathlib.Path):
  return [
    {name: line[name] for name in ("stage", "step", "loss")}
    for line in metrics.read(folder)
  ]


def test_two_and_two_steps_are_four(tmp_path):
  straight = _loop(tmp_path / "straight", 4, _Loader())
  _loop(tmp_path / "broken", 2, _Loader())
  resumed = _loop(tmp_path / "broken", 4, _Loader())
  jax.tree.map(np.testing.assert_array_equal, straight, resumed)
  assert _lines(tmp_path / "straight") == _lines(tmp_path / "broken")


def test_sigterm_saves_and_a_new_start_goes_on(tmp_path):
  straight = _loop(tmp_path / "straight", 5, _Loader())
  with pytest.raises(trainer.Stopped, match="step 3"):
    _loop(tmp_path / "stopped", 5, _Loader(terminate=3), every=100)
  resumed = _loop(tmp_path / "stopped", 5, _Loader())
  jax.tree.map(np.testing.assert_array_equal, straight, resumed)


def test_lines_after_the_checkpoint_are_written_once(tmp_path):
  with pytest.raises(errors.UserError):
    _loop(tmp_path, 6, _Loader(poison=4), every=2)
  _loop(tmp_path, 6, _Loader(), every=2)
  steps = [line["step"] for line in metrics.read(tmp_path)]
  assert steps == [1, 2, 3, 4, 5, 6]


def test_a_non_finite_loss_names_step_and_samples(tmp_path):
  with pytest.raises(errors.UserError, match="step 3: loss nan") as caught:
    _loop(tmp_path, 6, _Loader(poison=3), every=2)
  assert "first/train/3" in str(caught.value)
  checkpoints = checkpoint.StageCheckpoints(tmp_path / "checkpoints", 2)
  assert checkpoints.latest() == 2
  checkpoints.close()


def test_the_log_holds_losses_by_dataset(tmp_path):
  _loop(tmp_path, 2, _Loader())
  line = json.loads((tmp_path / metrics.FILE).read_text().splitlines()[0])
  assert {"loss/first", "loss/second", "padding_share"} <= set(line)
  assert line["padding_share"] == 0


def test_the_steps_of_a_window_are_traced(tmp_path):
  _loop(tmp_path, 4, _Loader(), profile=profiling.parse("2:3"))
  assert len(list((tmp_path / "profile").rglob("*.xplane.pb"))) == 1


@pytest.mark.parametrize(("every", "steps"), [(2, [2, 4, 5]), (0, [5])])
def test_the_routers_are_looked_at_in_a_while(tmp_path, every, steps):
  def monitor(params, batch):
    assert params["a"]["kernel"].shape == (3,)  # one copy, not one a device
    return {"router/x": float(batch["segments"].sum())}

  _loop(tmp_path, 5, _Loader(), monitor=monitor, router_every=every)
  lines = metrics.read(tmp_path)
  assert [line["step"] for line in lines] == steps
  assert [line.get("router/x") for line in lines[:-1]] == [32.0] * (
    len(steps) - 1
  )
  assert "router/x" not in lines[-1]


class _Steps:
  """A callback that notes what it is called for."""

  def __init__(self):
    self.calls = []

  def before_step(self, step):
    self.calls.append(("before", step))

  def after_step(self, step, arguments, sums):
    state, frozen, batch, _ = arguments
    assert (frozen, set(batch) >= {"labels", "weights"}) == ({}, True)
    assert state.params["a"]["kernel"].shape[-1] == 3
    self.calls.append(("after", step))

  def close(self):
    self.calls.append("close")


def _bare(steps, loader, callback, **fields):
  """A loop with nothing but steps, as a run of a study has it."""
  optimizer = optim.optimizer(configs.Optimizer(peak=0.1, warmup=0.5), 10)
  runner = pmapped.PmapRunner(
    8, 1, likelihood=_likelihood, optimizer=optimizer, tasks=len(_TASKS)
  )
  loop = trainer.Loop(
    stage=configs.Stage(name="toy", steps=steps, trains="all"),
    runner=runner,
    loader=loader,
    task_names=_TASKS,
    callbacks=(callback,),
    **fields,
  )
  state = state_lib.create({"a": {"kernel": jnp.zeros(3)}}, optimizer)
  return runner.to_save(loop.run(state, {}, jax.random.key(0)))


def test_a_loop_of_steps_alone_trains_the_same(tmp_path, capfd):
  callback = _Steps()
  found = _bare(4, _Loader(), callback)
  assert capfd.readouterr() == ("", "")  # no progress bar either
  whole = _loop(tmp_path, 4, _Loader())
  jax.tree.map(np.testing.assert_array_equal, found, whole)
  steps = [(when, n) for n in (1, 2, 3, 4) for when in ("before", "after")]
  assert callback.calls == [*steps, "close"]


def test_a_loop_that_fails_closes_its_callbacks_and_says_what_to_do():
  callback = _Steps()
  with pytest.raises(errors.UserError, match="step 2: .*; lower the peak; "):
    _bare(4, _Loader(poison=2), callback, remedy="lower the peak")
  assert callback.calls[-1] == "close"


def test_a_loop_may_read_its_loss_at_the_end_alone():
  callback = _Steps()
  with pytest.raises(errors.UserError, match="loss nan"):
    _bare(4, _Loader(poison=1), callback, check_every=4)
  assert ("after", 4) in callback.calls
