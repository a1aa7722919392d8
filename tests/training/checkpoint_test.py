"""Checkpoints: complete or not at all, also when the disk is full."""

import pathlib
import shutil
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.training import checkpoint
from crab_jax.training import optim
from crab_jax.training import state as state_lib
from tests.data import clips

_BEGIN = f"""
import pathlib, sys
sys.path[:0] = [{str(pathlib.Path(__file__).parents[2])!r}]
from crab_jax.training import checkpoint
"""


def _run(script):
  """How a script ends in a process of its own."""
  return subprocess.run(
    [sys.executable, "-c", _BEGIN + textwrap.dedent(script)],
    capture_output=True,
    text=True,
  )


def _state(step, size=4):
  optimizer = optim.optimizer(configs.Optimizer(), 10)
  rng = np.random.default_rng(step)
  params = {"a": {"kernel": jnp.asarray(rng.normal(size=size), jnp.float32)}}
  made = state_lib.create(params, optimizer)
  return made.replace(step=jnp.int32(step))


def test_what_is_saved_comes_back(tmp_path):
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  checkpoints.save(_state(1), b"\x00place", {"note": 3})
  checkpoints.wait()
  state, data, note = checkpoints.restore(_state(0))
  checkpoints.close()
  jax.tree.map(np.testing.assert_array_equal, state, _state(1))
  assert (data, note) == ([b"\x00place"], {"note": 3})


def test_a_checkpoint_of_another_state_is_one_line(tmp_path):
  """As earlier versions wrote it: the optimizer's state was called moments."""
  now = _state(3)
  earlier = {"step": now.step, "params": now.params, "moments": now.opt_state}
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  checkpoints._manager.save(
    3,
    args=ocp.args.Composite(
      state=ocp.args.StandardSave(earlier), note=ocp.args.JsonSave({"data": []})
    ),
  )
  checkpoints.wait()
  with pytest.raises(errors.UserError) as caught:
    checkpoints.restore(_state(0))
  checkpoints.close()
  assert str(caught.value) == (
    f"{tmp_path}/3 is of an earlier version, whose state had moments: go on"
    " with that version, or start in another --workdir"
  )


def _decayed(size):
  """A state of an optimizer with one part more."""
  params = {"a": {"kernel": jnp.zeros(size)}}
  config = configs.Optimizer(name="muon", weight_decay=0.1)
  return state_lib.create(params, optim.optimizer(config, 10))


@pytest.mark.parametrize(
  ("like", "name"),
  [(_state(0, size=5), "kernel is [4] in it"), (_decayed((4, 4)), " in it ")],
)
def test_a_checkpoint_of_other_shapes_is_one_line(tmp_path, like, name):
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  checkpoints.save(_state(3), b"", {})
  checkpoints.wait()
  with pytest.raises(errors.UserError) as caught:
    checkpoints.restore(like)
  checkpoints.close()
  assert f"{tmp_path}/3 does not fit the settings: " in str(caught.value)
  assert name in str(caught.value)
  assert len(str(caught.value)) < 300 + len(str(tmp_path))


def _many(step):
  """A state of many arrays, so that some are read when one fails."""
  optimizer = optim.optimizer(configs.Optimizer(), 10)
  rng = np.random.default_rng(step)
  arrays = {f"a{n}": {"kernel": rng.normal(size=9000)} for n in range(40)}
  params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), arrays)
  return state_lib.create(params, optimizer).replace(step=jnp.int32(step))


def test_a_damaged_checkpoint_is_one_line_and_the_one_before_goes_on(tmp_path):
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  for step in (1, 2):
    checkpoints.save(_many(step), b"", {})
  checkpoints.close()
  clips.cut_short(clips.largest_file(tmp_path / "2"))
  done = _run(f"""
    from tests.training.checkpoint_test import _many
    from crab_jax import cli
    def main():
      folder = pathlib.Path({str(tmp_path)!r})
      checkpoint.StageCheckpoints(folder, keep=2).restore(_many(0))
    cli.run(main)
  """)
  assert done.returncode == 2
  assert done.stderr.startswith(f"error: {tmp_path}/2 cannot be read: ")
  assert done.stderr.endswith("goes on from the one before it\n")
  assert done.stderr.count("\n") == 1
  shutil.rmtree(tmp_path / "2")
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  state, _, _ = checkpoints.restore(_many(0))
  checkpoints.close()
  jax.tree.map(np.testing.assert_array_equal, state, _many(1))


def test_only_the_newest_are_kept(tmp_path):
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  for step in (1, 2, 3):
    checkpoints.save(_state(step), b"", {})
  checkpoints.close()
  kept = {int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()}
  assert kept == {2, 3}


def test_a_full_disk_is_one_error_and_loses_nothing(tmp_path):
  """A limit on the size of files stands in for a full disk."""
  done = _run(f"""
    import resource, signal
    from tests.training.checkpoint_test import _state
    from crab_jax import errors
    checkpoints = checkpoint.StageCheckpoints(
      pathlib.Path({str(tmp_path)!r}), keep=2
    )
    checkpoints.save(_state(1, 100_000), b"", {{}})
    checkpoints.wait()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
      checkpoints.save(_state(2, 100_000), b"", {{}})
      checkpoints.wait()
    except errors.UserError as error:
      print("refused:", error)
  """)
  assert f"refused: cannot write a checkpoint in {tmp_path}" in done.stdout
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  assert checkpoints.latest() == 1
  state, _, _ = checkpoints.restore(_state(0, 100_000))
  checkpoints.close()
  jax.tree.map(np.testing.assert_array_equal, state, _state(1, 100_000))


def _split(tree, devices, names):
  """The arrays over `devices` in a mesh a x b, or their shapes so placed."""
  mesh = jax.make_mesh(devices, ("a", "b"), (jax.sharding.AxisType.Auto,) * 2)

  def put(leaf):
    spec = jax.sharding.PartitionSpec(*names[: leaf.ndim])
    where = jax.sharding.NamedSharding(mesh, spec)
    if isinstance(leaf, jax.ShapeDtypeStruct):
      return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return jax.device_put(leaf, where)

  return jax.tree.map(put, tree)


def test_parts_on_one_mesh_come_back_on_another(tmp_path):
  state = _state(3, (16, 8))
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  checkpoints.save(_split(state, (4, 2), ("a", "b")), b"", {})
  checkpoints.wait()
  like = _split(jax.eval_shape(lambda: _state(0, (16, 8))), (2, 2), ("b",))
  found, _, _ = checkpoints.restore(like)
  checkpoints.close()
  jax.tree.map(np.testing.assert_array_equal, found, state)
  for made, wanted in zip(
    jax.tree.leaves(found), jax.tree.leaves(like), strict=True
  ):
    assert made.sharding == wanted.sharding


def test_a_save_that_was_cut_off_is_no_checkpoint(tmp_path):
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=3)
  for step in (1, 2):
    checkpoints.save(_state(step), b"", {})
  checkpoints.close()
  (tmp_path / "2" / "commit_success.txt").unlink()
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=3)
  assert checkpoints.latest() == 1
  checkpoints.save(_state(2), b"again", {})  # it is in nobody's way
  checkpoints.wait()
  assert checkpoints.restore(_state(0))[1] == [b"again"]
  checkpoints.close()


def test_the_places_of_all_hosts_come_back(tmp_path, monkeypatch):
  checkpoints = checkpoint.StageCheckpoints(tmp_path, keep=2)
  monkeypatch.setattr(
    checkpoint.hosts, "exchange", lambda name, value: [value, "YWJj"]
  )
  checkpoints.save(_state(1), b"own", {})
  checkpoints.wait()
  assert checkpoints.restore(_state(0))[1] == [b"own", b"abc"]
  checkpoints.close()
