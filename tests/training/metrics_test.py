"""The run's log: lines, what is rewound, and the optional wandb."""

import json
import sys
import types

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.training import metrics


def _writer(folder, **fields):
  config = configs.Logging(tensorboard=False, **fields)
  return metrics.Writer(folder, config)


def test_lines_after_a_step_are_forgotten_and_others_kept(tmp_path):
  writer = _writer(tmp_path)
  for stage, step in (("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)):
    writer.write(stage, step, {"loss": float(step)})
  writer.rewind("b", 1)
  kept = [(line["stage"], line["step"]) for line in metrics.read(tmp_path)]
  assert kept == [("a", 1), ("a", 2), ("b", 1)]


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path):
  writer = _writer(tmp_path)
  writer.write("a", 1, {"loss": 1.0})
  with (tmp_path / metrics.FILE).open("a") as file:
    file.write('{"stage": "a", "st')
  writer.rewind("a", 1)
  assert [line["step"] for line in metrics.read(tmp_path)] == [1]


def test_wandb_gets_every_line_and_is_finished(tmp_path, monkeypatch):
  got = []
  run = types.SimpleNamespace(log=got.append, finish=lambda: got.append("end"))
  fake = types.SimpleNamespace(init=lambda **_: run)
  monkeypatch.setitem(sys.modules, "wandb", fake)
  writer = _writer(tmp_path, wandb=True)
  writer.write("a", 1, {"loss": 0.5})
  writer.close()
  assert got == [{"a/loss": 0.5}, "end"]


def test_wandb_goes_on_with_the_run_of_the_first_start(tmp_path, monkeypatch):
  asked = []

  def init(**settings):
    asked.append(settings)
    return types.SimpleNamespace(log=lambda _: None, finish=lambda: None)

  fake = types.SimpleNamespace(init=init)
  monkeypatch.setitem(sys.modules, "wandb", fake)
  for folder in (tmp_path / "one", tmp_path / "one", tmp_path / "two"):
    _writer(folder, wandb=True).close()
  first, again, other = (settings["id"] for settings in asked)
  assert first == again != other
  assert {settings["resume"] for settings in asked} == {"allow"}


def test_the_health_of_all_starts_is_kept(tmp_path):
  for _ in range(2):
    writer = _writer(tmp_path)
    writer.rewind("a", 0)
    writer.health("a", 1, {"goodput": 0.5})
    writer.close()
  lines = (tmp_path / metrics.HEALTH).read_text().splitlines()
  assert [json.loads(line)["goodput"] for line in lines] == [0.5, 0.5]
  assert metrics.read(tmp_path) == []


def test_wandb_that_is_not_installed_is_an_error(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "wandb", None)
  with pytest.raises(errors.UserError, match=r"crab_jax\[wandb\]"):
    _writer(tmp_path, wandb=True)
