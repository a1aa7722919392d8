"""A small world on disk, written once for the tests of this folder."""

import pathlib

import pytest

from crab_jax import configs
from crab_jax.synthetic import build

WORLD = configs.World(seed=3, train_samples=8, val_samples=4, test_samples=8)


@pytest.fixture(scope="session")
def small_world(tmp_path_factory) -> pathlib.Path:
  """The folder AVUIE_2 of a small world."""
  root = tmp_path_factory.mktemp("world")
  build.write(root, WORLD)
  return root / build.FOLDER
