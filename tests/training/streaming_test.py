"""Model folders written one block at a time."""

import dataclasses

import flax.traverse_util
import ml_dtypes
import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.training import model_folder
from crab_jax.training import streaming


@dataclasses.dataclass
class _Leaf:
  """An array that is read in blocks of rows."""

  values: np.ndarray
  rows: int
  broken: bool = False

  @property
  def shape(self):
    return self.values.shape

  @property
  def dtype(self):
    return self.values.dtype

  @property
  def chunk(self):
    return (self.rows, *self.values.shape[1:])

  def blocks(self):
    for start in range(0, len(self.values), self.rows):
      if self.broken and start:
        raise errors.UserError("the second block is missing")
      first = (start,) + (0,) * (self.values.ndim - 1)
      yield first, self.values[start : start + self.rows]


def _leaves(**changes):
  rng = np.random.default_rng(0)
  return {
    "model/kernel": _Leaf(rng.standard_normal((7, 4), np.float32), 3),
    "model/norm/scale": _Leaf(np.arange(5).astype(ml_dtypes.bfloat16), 5),
    "lm_head/kernel": _Leaf(np.ones((4, 6), ml_dtypes.bfloat16), 2, **changes),
  }


def test_blocks_become_a_model_folder(tmp_path):
  """The last block of seven rows by threes is short."""
  leaves, folder = _leaves(), files.path(tmp_path) / "base"
  streaming.save(folder, leaves, configs.tiny(), {"note.txt": "hello"})
  found = flax.traverse_util.flatten_dict(
    model_folder.load_params(folder), sep="/"
  )
  assert found.keys() == leaves.keys()
  for path, leaf in leaves.items():
    assert found[path].dtype == leaf.dtype
    np.testing.assert_array_equal(found[path], leaf.values)
  assert model_folder.load_config(folder) == configs.tiny()
  assert (tmp_path / "base" / "note.txt").read_text() == "hello"


def test_a_model_folder_is_replaced(tmp_path):
  folder = files.path(tmp_path) / "base"
  for text in ("old", "new"):
    streaming.save(folder, _leaves(), configs.tiny(), {"note.txt": text})
  assert (tmp_path / "base" / "note.txt").read_text() == "new"
  assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_block_that_cannot_be_read_leaves_nothing(tmp_path):
  folder = files.path(tmp_path) / "base"
  with pytest.raises(errors.UserError, match="second block"):
    streaming.save(folder, _leaves(broken=True), configs.tiny(), {})
  assert list(tmp_path.iterdir()) == []


def test_another_folder_is_not_replaced(tmp_path):
  (tmp_path / "base").mkdir()
  (tmp_path / "base" / "thesis.tex").write_text("mine")
  with pytest.raises(errors.UserError, match="base"):
    streaming.save(files.path(tmp_path) / "base", _leaves(), configs.tiny(), {})
  assert (tmp_path / "base" / "thesis.tex").read_text() == "mine"
