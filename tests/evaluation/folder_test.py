"""What a model folder says of the tasks that it was trained on."""

import dataclasses

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.evaluation import folder
from tests.data import own_rows


def _table(*names):
  rows = dict.fromkeys(names, own_rows.MACHINE)
  return task_files.read_table(rows, "here")


def _model(router, table):
  adapter = configs.ILora(rank=2, heads=2, router=router, tasks=30)
  return folder.Model(configs.tiny(adapter=adapter), {}, None, None, table)


def test_a_router_that_reads_tasks_needs_their_numbers():
  folder.require_numbers(_model("task", _table("b")), _table("b", "c"))
  folder.require_numbers(_model("token", _table("b")), _table("a", "b"))
  with pytest.raises(
    errors.UserError, match="with a, which it was not.* b has"
  ):
    folder.require_numbers(_model("task", _table("b")), _table("a", "b"))


def test_a_model_and_its_adapter_agree_on_their_tasks(tmp_path):
  model, adapter = tmp_path / "model", tmp_path / "adapter"
  for place, name in ((model, "a"), (adapter, "b")):
    place.mkdir()
    rows = task_files.to_json(_table(name))
    files.write_json(place / task_files.FILE, rows)
  assert folder.tasks_of(model, None) == _table("a")
  assert folder.tasks_of(model, adapter) == _table("a", "b")
  other = dataclasses.replace(_table("a")["a"], frames=8)
  files.write_json(
    adapter / task_files.FILE, task_files.to_json(tasks.Tasks((other,)))
  )
  with pytest.raises(errors.UserError, match='task a differs: its "frames"'):
    folder.tasks_of(model, adapter)
