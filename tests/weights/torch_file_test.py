"""torch.save's files, read and written without torch, against torch."""

import zipfile
import zlib

import ml_dtypes
import numpy as np
import pytest
import torch

from crab_jax import errors
from crab_jax.weights import torch_file

_BITS = {torch.bfloat16: torch.int16, torch.float16: torch.int16}


def _bits(tensor):
  """A torch tensor's or an array's shape and bytes."""
  if isinstance(tensor, torch.Tensor):
    kind = _BITS.get(tensor.dtype, torch.int32)
    tensor = tensor.detach().contiguous().view(kind).numpy()
  return tensor.shape, tensor.tobytes()


def _tensors():
  torch.manual_seed(0)
  return {
    "base_model.a.weight": torch.randn(5, 3).to(torch.bfloat16),
    "half": torch.randn(7).to(torch.float16),
    "float": torch.tensor([[np.nan, -0.0, np.inf, 1e-42]]),
    "parameter": torch.nn.Parameter(torch.randn(300)),
    "transposed": torch.randn(4, 6).T[1:],
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
  }


@pytest.mark.parametrize("protocol", [2, 4])
def test_reads_what_torch_saves(tmp_path, protocol):
  path = tmp_path / "w.bin"
  torch.save(_tensors(), path, pickle_protocol=protocol)
  found = torch_file.read(path)
  assert list(found) == list(_tensors())
  assert found["base_model.a.weight"].dtype == ml_dtypes.bfloat16
  for name, tensor in _tensors().items():
    assert _bits(found[name]) == _bits(tensor), name


def test_reads_a_state_dict(tmp_path):
  layer = torch.nn.Linear(2, 3)
  torch.save(layer.state_dict(), tmp_path / "w.bin")
  found = torch_file.read(tmp_path / "w.bin")
  assert _bits(found["weight"]) == _bits(layer.weight)


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_reads_what_we_write(tmp_path, mapped):
  torch.save(_tensors(), tmp_path / "w.bin")
  tensors = torch_file.read(tmp_path / "w.bin")
  tensors["é"] = np.asfortranarray(np.ones((3, 70_000), np.float32))
  torch_file.write(tmp_path / "ours.bin", tensors)
  found = torch.load(tmp_path / "ours.bin", weights_only=True, mmap=mapped)
  assert list(found) == list(tensors)
  for name, tensor in tensors.items():
    assert _bits(found[name]) == _bits(tensor), name
    assert found[name].is_contiguous()
  again = torch_file.read(tmp_path / "ours.bin")
  assert all(_bits(again[name]) == _bits(x) for name, x in tensors.items())


def test_tensors_begin_where_they_can_be_mapped(tmp_path):
  torch_file.write(
    tmp_path / "w.bin", {f"n{i}": np.ones(i, np.float32) for i in range(20)}
  )
  for tensor in torch_file.read(tmp_path / "w.bin").values():
    assert tensor.ctypes.data % 64 == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "compressed", "legacy"])
def test_damaged_files_are_one_error(tmp_path, damage):
  path = tmp_path / "w.bin"
  tensors = {"a": torch.arange(1000.0)}
  torch.save(tensors, path, _use_new_zipfile_serialization=damage != "legacy")
  data = bytearray(path.read_bytes())
  if damage == "cut":
    data = data[: len(data) // 2]
  elif damage == "flipped":
    data[len(data) // 2] ^= 1
  path.write_bytes(data)
  if damage == "compressed":
    with zipfile.ZipFile(path) as archive:
      members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
      for name, member in members.items():
        archive.writestr(name, member)
  message = "is compressed" if damage == "compressed" else "damaged"
  with pytest.raises(errors.UserError, match=message):
    torch_file.read(path)


def test_missing_and_unwritable(tmp_path):
  with pytest.raises(errors.UserError, match="is missing"):
    torch_file.read(tmp_path / "w.bin")
  with pytest.raises(errors.UserError, match="cannot write"):
    torch_file.write(tmp_path / "no" / "w.bin", {})


def test_checksums_are_those_of_the_zip_format(tmp_path):
  torch_file.write(tmp_path / "w.bin", {"a": np.arange(9, dtype=np.float32)})
  with zipfile.ZipFile(tmp_path / "w.bin") as archive:
    assert archive.testzip() is None
    member = archive.getinfo("w/data/0")
    assert zlib.crc32(np.arange(9, dtype=np.float32).tobytes()) == member.CRC
