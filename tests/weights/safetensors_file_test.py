"""What is written tensor by tensor, the library reads."""

import json

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from crab_jax.weights import safetensors_file


def _tensor(name, value, rows=2):
  def blocks():
    for start in range(0, len(value), rows):
      yield value[start : start + rows]

  return safetensors_file.Tensor(name, value.shape, value.dtype, blocks)


_VALUES = {
  "a": np.arange(15, dtype=np.float32).reshape(5, 3),
  "b.é": np.arange(4, dtype=np.float16),
  "c": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
  "d": np.full((3, 1, 2), 1.5, ml_dtypes.bfloat16),
}


def _read(folder):
  found = {}
  for path in folder.glob("*.safetensors"):
    with safetensors.safe_open(path, "np") as file:
      assert file.metadata() == {"format": "pt"}
    found |= safetensors.numpy.load_file(path)
  return found


@pytest.mark.parametrize(("size", "count"), [(1 << 20, 1), (60, 2), (1, 4)])
def test_shards(tmp_path, monkeypatch, size, count):
  monkeypatch.setattr(safetensors_file, "SHARD_BYTES", size)
  tensors = [_tensor(name, value) for name, value in _VALUES.items()]
  assert safetensors_file.write_folder(tmp_path, tensors) == count
  found = _read(tmp_path)
  assert found.keys() == _VALUES.keys()
  for name, value in _VALUES.items():
    assert found[name].dtype == value.dtype
    np.testing.assert_array_equal(found[name], value)
  index = tmp_path / "model.safetensors.index.json"
  assert index.exists() == (count > 1)
  if count > 1:
    fields = json.loads(index.read_text())
    assert fields["metadata"]["total_size"] == 60 + 8 + 24 + 12
    assert fields["weight_map"].keys() == _VALUES.keys()
    for name, file in fields["weight_map"].items():
      assert name in safetensors.numpy.load_file(tmp_path / file)


def test_blocks_that_do_not_make_the_tensor_leave_no_file(tmp_path):
  wrong = safetensors_file.Tensor(
    "a", (4,), np.dtype(np.float32), lambda: iter([np.zeros(3, np.float32)])
  )
  with pytest.raises(ValueError, match="a has 12 bytes, not 16"):
    safetensors_file.write_folder(tmp_path, [wrong])
  assert list(tmp_path.iterdir()) == []
