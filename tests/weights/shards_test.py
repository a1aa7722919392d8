"""Shards of safetensors: what is in them, and slices of it."""

import json

import numpy as np
import pytest
import safetensors.numpy

from crab_jax import errors
from crab_jax import files
from crab_jax.weights import shards

_NORM = "thinker.model.norm.weight"
_HEAD = "thinker.lm_head.weight"


def _canonical(name):
  """Of the thinker, its own names; no other."""
  part, _, own = name.partition(".")
  return own if part == "thinker" else None


def _write(folder, parts, index=None):
  """Files of tensors by name, and an index of those in `index`."""
  for name, tensors in parts.items():
    safetensors.numpy.save_file(tensors, folder / name)
  if index is not None:
    (folder / shards.INDEX).write_text(json.dumps({"weight_map": index}))
  return files.path(folder)


def test_what_the_files_hold_by_canonical_name(tmp_path):
  head = np.arange(12, dtype=np.float32).reshape(4, 3)
  parts = {
    "a.safetensors": {_NORM: np.ones(3, np.float16), "talker.x": head},
    "b.safetensors": {_HEAD: head},
  }
  found, problems = shards.contents(_write(tmp_path, parts), _canonical)
  assert problems == []
  assert set(found) == {"model.norm.weight", "lm_head.weight"}
  (tensor,) = found["lm_head.weight"]
  assert (tensor.name, tensor.shape, tensor.dtype) == (_HEAD, (4, 3), "F32")
  np.testing.assert_array_equal(tensor.read(1, 3), head[1:3])


def test_only_files_of_the_index_count(tmp_path):
  parts = {
    name: {_NORM: np.ones(3, np.float32)}
    for name in ("a.safetensors", "b.safetensors")
  }
  folder = _write(tmp_path, parts, {_NORM: "b.safetensors"})
  assert [path.name for path in shards.files_of(folder)] == ["b.safetensors"]


def test_a_single_file_comes_before_an_index(tmp_path):
  """The order of transformers; the shards of another save are told of."""
  names = ("model.safetensors", "model-00001-of-00001.safetensors")
  parts = {name: {_NORM: np.ones(3, np.float32)} for name in names}
  folder = _write(tmp_path, parts, {_NORM: names[1]})
  assert [path.name for path in shards.files_of(folder)] == [names[0]]
  (note,) = shards.notes_on_files(folder)
  assert note == (
    f"the weights are those of {names[0]}; not read: {names[1]}, {shards.INDEX}"
  )
  (tmp_path / names[0]).unlink()
  assert shards.notes_on_files(folder) == []


def test_the_dtype_of_most_elements(tmp_path):
  parts = {
    "a.safetensors": {
      "thinker.a": np.ones(3, np.float32),
      "thinker.b": np.ones(2, np.float16),
      "thinker.c": np.ones(2, np.float16),
    }
  }
  found, _ = shards.contents(_write(tmp_path, parts), _canonical)
  assert shards.commonest_dtype(found) == "F16"
  assert shards.notes_on_dtypes(found, "float32") == [
    "2 of F16 become float32: b, c"
  ]
  del found["a"]
  assert shards.notes_on_dtypes(found, "float32") == []


def test_every_bad_file_is_one_line(tmp_path):
  parts = {"a.safetensors": {_NORM: np.ones(3, np.float32)}}
  index = {str(n): f"{n}.safetensors" for n in "abc"}
  folder = _write(tmp_path, parts, index)
  (tmp_path / "b.safetensors").write_bytes(b"noise")
  found, (damaged, missing) = shards.contents(folder, _canonical)
  assert list(found) == ["model.norm.weight"]
  assert damaged.startswith("b.safetensors is damaged (")
  assert missing == "c.safetensors is missing"


@pytest.mark.parametrize("text", ["[]", "{", '{"weight_map": 3}'])
def test_a_damaged_index_is_named(tmp_path, text):
  (tmp_path / shards.INDEX).write_text(text)
  with pytest.raises(errors.UserError, match=shards.INDEX):
    shards.files_of(files.path(tmp_path))


def test_a_folder_without_shards_is_refused(tmp_path):
  with pytest.raises(errors.UserError, match="holds no"):
    shards.files_of(files.path(tmp_path))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(tmp_path, value):
  norm = np.array([1, 2, value], np.float32)
  found, _ = shards.contents(
    _write(tmp_path, {"a.safetensors": {_NORM: norm}}), _canonical
  )
  (tensor,) = found["model.norm.weight"]
  np.testing.assert_array_equal(tensor.read(0, 2), norm[:2])
  with pytest.raises(errors.UserError, match=_NORM):
    tensor.read(2, 3)


def test_a_file_that_went_away_is_one_error(tmp_path):
  norm = {_NORM: np.ones(3, np.float32)}
  found, _ = shards.contents(
    _write(tmp_path, {"a.safetensors": norm}), _canonical
  )
  (tmp_path / "a.safetensors").unlink()
  with pytest.raises(errors.UserError, match="a.safetensors"):
    found["model.norm.weight"][0].read(0, 1)
