"""What a loop saves, in which order, and the loop that saves nothing."""

import inspect
from unittest import mock

import jax.numpy as jnp
import optax
import pytest

from crab_jax.data import loader as loader_lib
from crab_jax.training import checkpoint
from crab_jax.training import pmapped
from crab_jax.training import preemption
from crab_jax.training import recovery
from crab_jax.training import state as state_lib

_METHODS = [name for name in vars(recovery.NoRecovery) if name[0] != "_"]


def _state():
  return state_lib.create({"a": jnp.zeros(2)}, optax.sgd(1.0))


@pytest.fixture
def made():
  """A recovery of stand-ins, the one for SIGTERM, and the calls of all."""
  calls = mock.Mock()
  parts = {
    "checkpoints": checkpoint.StageCheckpoints,
    "runner": pmapped.PmapRunner,
    "loader": loader_lib.Loader,
    "preemption": preemption.Handler,
  }
  for name, kind in parts.items():
    calls.attach_mock(mock.create_autospec(kind, instance=True), name)
  calls.preemption.requested = False
  calls.runner.to_save.side_effect = lambda state: state
  calls.loader.get_state.return_value = b"position"
  found = recovery.CheckpointRecovery(
    calls.checkpoints, 3, calls.runner, calls.loader, calls.preemption
  )
  calls.reset_mock()
  return found, calls


def _names(calls):
  return [name for name, _, _ in calls.mock_calls]


@pytest.mark.parametrize("method", _METHODS)
def test_both_take_what_the_loop_gives(method):
  wanted = inspect.signature(getattr(recovery.Recovery, method))
  for kind in (recovery.NoRecovery, recovery.CheckpointRecovery):
    found = inspect.signature(getattr(kind, method))
    assert list(found.parameters) == list(wanted.parameters)


def test_no_recovery_gives_the_state_back_and_never_stops():
  nothing, state = recovery.NoRecovery(), _state()
  assert isinstance(nothing, recovery.Recovery)
  assert nothing.resume(state) is state
  assert not nothing.stop_requested()
  assert not nothing.due(50)
  assert not nothing.has_checkpoint()


def test_a_checkpoint_is_due_at_the_interval(made):
  assert [step for step in range(1, 8) if made[0].due(step)] == [3, 6]


def test_settling_waits_before_a_preemption_may_end_the_process(made):
  found, calls = made
  found.settle()
  assert _names(calls) == [
    "preemption.saving",
    "checkpoints.wait",
    "preemption.release",
  ]


@pytest.mark.parametrize("requested", [True, False])
def test_a_save_after_sigterm_says_that_it_has_begun(made, requested):
  found, calls = made
  calls.preemption.requested = requested
  state = _state()
  found.save(state)
  assert _names(calls) == [
    *["preemption.saving"] * requested,
    "runner.to_save",
    "loader.get_state",
    "checkpoints.save",
  ]
  calls.checkpoints.save.assert_called_once_with(state, b"position", {})


def test_a_state_that_was_read_is_changed_as_asked(made):
  _, calls = made
  found = recovery.CheckpointRecovery(
    calls.checkpoints,
    3,
    calls.runner,
    calls.loader,
    calls.preemption,
    restored=lambda state: state.replace(step=state.step + 7),
  )
  state = _state()
  calls.checkpoints.latest.return_value = None
  assert found.resume(state) is state
  calls.checkpoints.latest.return_value = 3
  calls.checkpoints.restore.return_value = (state, [b""], {})
  calls.loader.set_states.return_value = None
  assert int(found.resume(state).step) == 7
