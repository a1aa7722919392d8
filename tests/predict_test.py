"""The door `predict`: its mistakes are one line; a model that is none, too."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.evaluation import folder
from crab_jax.training import model_folder
from tests.models import random_parameters

_ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
  ("arguments", "culprit"),
  [
    (("--task=ave",), "--checkpoint"),
    (("--checkpoint=x", "--out=y", "--task=nosuch"), "nosuch"),
    (("--checkpoint=x", "--out=y", "--task=ave"), "--video"),
    (("--checkpoint=x", "--out=y", "--task=avqa", "--video=v"), "--question"),
    (("--checkpoint=x", "--out=y", "--task=a2v", "--video=v"), "candidates"),
    (("--checkpoint=x", "--out=y", "--task=all"), "no task fits"),
    (("--checkpoint=x", "--out=y", "--task=ks", "--video=v"), "model folder"),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, culprit, tmp_path):
  done = subprocess.run(
    [sys.executable, "-m", "crab_jax.predict", *arguments],
    cwd=tmp_path,
    env={"PYTHONPATH": str(_ROOT), "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2, done.stderr
  assert culprit in done.stderr
  assert done.stderr.count("\n") == 1
  assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_named(tmp_path):
  config = configs.tiny()
  params = random_parameters.draw(config)
  params["model"]["norm"]["weight"][3] = np.nan
  model_folder.save(tmp_path / "model", params, config, {})
  with pytest.raises(errors.UserError, match="model/norm/weight"):
    folder.load(tmp_path / "model", None)
