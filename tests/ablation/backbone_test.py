"""The backbone of a study: given, made once, or waited for."""

import dataclasses

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.ablation import backbone
from crab_jax.ablation import manifest as manifest_lib
from crab_jax.experiment import run
from crab_jax.experiment import setup
from crab_jax.training import model_folder

_PARAMS = {"kernel": np.arange(3.0, dtype=np.float32)}
_ADAPTER = configs.Stage("tuning", 1, "adapter")


class _World:
  """Stands in for preparation and training; notes what was asked of it."""

  def __init__(self, workdir):
    self.trained, self.stopped = [], False
    self._folder = workdir / "backbone"

  def prepare(self, experiment, folder, config_text, given):
    self.settings = experiment
    (folder / "records").mkdir(parents=True, exist_ok=True)
    return "workspace"

  def train(self, experiment, workspace, handler):
    if self.stopped:
      return None
    self.trained.append([stage.name for stage in experiment.stages])
    model_folder.save(self._folder / "base", _PARAMS, configs.tiny(), {})
    return _PARAMS


@pytest.fixture
def world(tmp_path, monkeypatch):
  made = _World(tmp_path)
  monkeypatch.setattr(setup, "prepare", made.prepare)
  monkeypatch.setattr(run, "train", made.train)
  return made


@pytest.fixture
def manifest(tmp_path):
  return manifest_lib.Manifest(tmp_path, expiry=60)


def _make(small_study, tmp_path, manifest, **changes):
  experiment = dataclasses.replace(small_study[0], **changes)
  return backbone.make(experiment, tmp_path, "", manifest, handler=None)


def test_the_stages_that_train_the_base_are_run_once(
  small_study, tmp_path, manifest, world
):
  stages = [*small_study[0].stages, _ADAPTER]
  for _ in range(2):
    workspace, params = _make(small_study, tmp_path, manifest, stages=stages)
    assert workspace == "workspace"
    np.testing.assert_array_equal(params["kernel"], _PARAMS["kernel"])
  assert world.trained == [["backbone"]]
  assert not manifest.running("backbone")


def test_a_training_that_was_stopped_gives_none(
  small_study, tmp_path, manifest, world
):
  world.stopped = True
  assert _make(small_study, tmp_path, manifest) is None
  assert not manifest.running("backbone")


def test_a_given_base_is_read(small_study, tmp_path, manifest, world):
  given = tmp_path / "given"
  model_folder.save(given, _PARAMS, configs.tiny(), {})
  _, params = _make(small_study, tmp_path, manifest, base=str(given))
  np.testing.assert_array_equal(params["kernel"], _PARAMS["kernel"])
  assert world.trained == []


def test_without_a_base_a_stage_must_train_one(
  small_study, tmp_path, manifest, world
):
  with pytest.raises(errors.UserError, match=r"Experiment\.base.*stages"):
    _make(small_study, tmp_path, manifest, stages=[_ADAPTER])


def test_the_others_wait_for_the_one_that_makes_it(
  small_study, tmp_path, manifest, world, monkeypatch, capsys
):
  """The first wait ends when the other machine has given its claim back."""
  other = manifest_lib.Manifest(tmp_path, expiry=60)
  assert other.claim("backbone")
  monkeypatch.setattr(
    backbone.time, "sleep", lambda _: other.release("backbone")
  )
  assert _make(small_study, tmp_path, manifest)[0] == "workspace"
  assert capsys.readouterr().out.count("waiting for it") == 1
