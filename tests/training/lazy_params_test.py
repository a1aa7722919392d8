"""Parameters read piece by piece are those that are read whole."""

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.training import lazy_params
from crab_jax.training import model_folder
from crab_jax.training import streaming


class _Leaf:
  def __init__(self, value):
    self.value = value
    self.shape, self.dtype, self.chunk = value.shape, value.dtype, value.shape

  def blocks(self):
    yield (0,) * self.value.ndim, self.value


@pytest.fixture(params=["whole", "streamed"])
def folder(request, tmp_path):
  rng = np.random.default_rng(0)
  value = rng.standard_normal((3, 4, 5)).astype(np.float32)
  out = files.path(tmp_path / "model")
  if request.param == "whole":
    tree = {"model": {"up": {"kernel": value}}}
    model_folder.save(out, tree, configs.tiny(), {})
  else:
    leaves = {"model/up/kernel": _Leaf(value)}
    streaming.save(out, leaves, configs.tiny(), {})
  return out, value


def test_pieces(folder):
  out, value = folder
  leaf = lazy_params.open_leaves(out, ["model/up/kernel"])["model/up/kernel"]
  assert (leaf.shape, leaf.dtype) == (value.shape, value.dtype)
  np.testing.assert_array_equal(leaf.read(), value)
  np.testing.assert_array_equal(leaf.read(1), value[1])
  np.testing.assert_array_equal(leaf.read(slice(1, 3)), value[1:])
  places = np.array([0, 17, 59])
  np.testing.assert_array_equal(leaf.sample(places), value.reshape(-1)[places])


def test_what_is_missing_is_named(folder, tmp_path):
  with pytest.raises(errors.UserError, match="no/kernel cannot be read"):
    lazy_params.open_leaves(folder[0], ["no/kernel"])
  with pytest.raises(errors.UserError, match="is no model folder"):
    lazy_params.open_leaves(files.path(tmp_path / "none"), [])
