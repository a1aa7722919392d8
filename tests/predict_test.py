"""The door `predict`: its mistakes are one line; a model that is none, too."""

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.evaluation import folder
from crab_jax.training import model_folder
from tests import door_calls
from tests.models import random_parameters

_MISTAKES = {
  ("--task=ave",): "--checkpoint",
  ("--checkpoint=x", "--out=y", "--task=nosuch"): "nosuch",
  ("--checkpoint=x", "--out=y", "--task=ave"): "--video",
  ("--checkpoint=x", "--out=y", "--task=avqa", "--video=v"): "--question",
  ("--checkpoint=x", "--out=y", "--task=a2v", "--video=v"): "candidates",
  ("--checkpoint=x", "--out=y", "--task=all"): "no task fits",
  ("--checkpoint=x", "--out=y", "--task=ks", "--video=v"): "model folder",
}


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
  folder = tmp_path / "empty"
  folder.mkdir()
  calls = door_calls.call("crab_jax.predict", list(_MISTAKES), folder)
  for made, culprit in zip(calls, _MISTAKES.values(), strict=True):
    assert made.code == 2
    assert culprit in made.stderr
    assert made.stderr.count("\n") == 1
  assert not list(folder.iterdir())


def test_weights_that_are_not_finite_are_named(tmp_path):
  config = configs.tiny()
  params = random_parameters.draw(config)
  params["model"]["norm"]["weight"][3] = np.nan
  model_folder.save(tmp_path / "model", params, config, {})
  with pytest.raises(errors.UserError, match="model/norm/weight"):
    folder.load(tmp_path / "model", None)
