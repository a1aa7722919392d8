"""Pickles of tensors: nothing else is loaded, and nothing is ever called."""

import io
import os
import pickle
import pickletools
import zipfile

import numpy as np
import pytest
import torch

from crab_jax import errors
from crab_jax.weights import torch_file
from crab_jax.weights import torch_pickle


class _Runs:
  def __reduce__(self):
    return os.mkdir, ("executed",)


@pytest.mark.parametrize(
  ("content", "culprit"),
  [
    ({"a": _Runs()}, "posix.mkdir"),
    (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    ({"a": torch.zeros(2, dtype=torch.int64)}, "torch.LongStorage"),
    ({"a": torch.zeros(2), "step": 3}, "step"),
    ({"a": {"b": torch.zeros(2)}}, "'a' is not the name of a tensor"),
    ([torch.zeros(2)], "EMPTY_LIST"),
    (torch.zeros(2), "no dict"),
    ({3: torch.zeros(2)}, "'3' is not the name of a tensor"),
  ],
)
def test_anything_but_tensors_is_refused(
  tmp_path, content, culprit, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  torch.save(content, "w.bin")
  with pytest.raises(errors.UserError, match=culprit):
    torch_file.read(tmp_path / "w.bin")
  assert not (tmp_path / "executed").exists()


def _with_pickle(path, data, storage=bytes(16)):
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("w/data.pkl", data)
    archive.writestr("w/data/0", storage)


def _made(shape=(2, 2), name="a", again=None):
  tensors = [(name, np.dtype(np.float32), shape)]
  return torch_pickle.make(tensors + ([again] if again else []))


@pytest.mark.parametrize(
  "shape", [(3, 2), (2, 3), (1,), (2**40, 2**40), (2, 2, 2)]
)
def test_a_shape_beyond_the_storage_is_refused(tmp_path, shape):
  sound = _made()
  _with_pickle(tmp_path / "w.bin", sound)
  torch_file.read(tmp_path / "w.bin")
  # The shape changes, the number of elements in the storage does not.
  elements = b"J\x04\x00\x00\x00tQ"
  begin = sound.index(elements) + len(elements)
  other = _made(shape)
  tail = other[other.index(b"tQ") + 2 :]
  if shape == (1,):  # instead, a stride that leaves the storage
    tail = sound[begin:].replace(
      b"J\x02\x00\x00\x00J\x01\x00\x00\x00",
      b"J\x03\x00\x00\x00J\x01\x00\x00\x00",
    )
  _with_pickle(tmp_path / "w.bin", sound[:begin] + tail)
  with pytest.raises(errors.UserError, match="beyond its storage"):
    torch_file.read(tmp_path / "w.bin")


def test_a_name_set_twice_is_refused(tmp_path):
  second = ("a", np.dtype(np.float32), (2, 2))
  data = _made(again=second).replace(b"\x01\x00\x00\x001", b"\x01\x00\x00\x000")
  _with_pickle(tmp_path / "w.bin", data)
  with pytest.raises(errors.UserError, match="sets a name twice"):
    torch_file.read(tmp_path / "w.bin")


@pytest.mark.parametrize("seed", range(40))
def test_a_scrambled_pickle_is_one_error_or_sound_tensors(tmp_path, seed):
  rng = np.random.default_rng(seed)
  data = bytearray(_made())
  for _ in range(3):
    data[rng.integers(len(data))] = rng.integers(256)
  _with_pickle(tmp_path / "w.bin", bytes(data))
  try:
    found = torch_file.read(tmp_path / "w.bin")
  except errors.UserError:
    return
  for tensor in found.values():
    tensor.sum()


def test_pickles_of_harmful_opcodes_are_refused(tmp_path):
  """Every opcode that could call, import or build is known or refused."""
  calls = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "PERSID", "BUILD"}
  known = {opcode.name: opcode for opcode in pickletools.opcodes}
  assert calls <= known.keys()
  for data in (
    b"cposix\nsystem\n(S'true'\ntR.",
    b"(S'true'\niposix\nsystem\n.",
    b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
    b"\x80\x02\x82\x01.",
    pickle.dumps({"a": io.BytesIO()}),
  ):
    _with_pickle(tmp_path / "w.bin", data)
    with pytest.raises(errors.UserError, match="was not loaded"):
      torch_file.read(tmp_path / "w.bin")
