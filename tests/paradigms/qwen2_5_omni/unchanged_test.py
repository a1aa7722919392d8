"""Qwen2.5-Omni as it was before families had a seam, to the byte.

The hashes and counts were made with that code. One that changes means that
checkpoints, adapters or resumed runs of users no longer fit.
"""

import dataclasses
import hashlib

import flax.traverse_util
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.data import packing
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.paradigms import thinker
from crab_jax.planning import flops
from tests.data import small_records

_ADAPTER = configs.ILora(rank=128, heads=3, alpha=256.0, targets="lm+towers")
_ROWS = configs.Rows(rows=16, tokens=2048)
_TREES = {
  configs.qwen2_5_omni_7b: "2fe623a5b3f84a22",
  configs.qwen2_5_omni_3b: "6286d2f0c335e70f",
  configs.tiny: "3eb3836377c31c75",
}
# decoder, towers, attention, head, adapter.
_FLOPS = {
  (configs.qwen2_5_omni_7b, "all"): (
    1282923911184384, 398877303767040, 45129167536128, 26787711025152, 0,
  ),
  (configs.qwen2_5_omni_7b, "adapter"): (
    855282607456256, 265701440880640, 45129167536128, 17858474016768,
    197827762323456,
  ),
  (configs.qwen2_5_omni_7b, "prefill"): (
    427641303728128, 133175862886400, 15043055845376, 17439916032,
    65942587441152,
  ),
  (configs.qwen2_5_omni_3b, "all"): (
    545495206330368, 397877717237760, 34408929165312, 15294378541056, 0,
  ),
  (configs.qwen2_5_omni_3b, "adapter"): (
    363663470886912, 265035049861120, 34408929165312, 10196252360704,
    163200192479232,
  ),
  (configs.qwen2_5_omni_3b, "prefill"): (
    181831735443456, 132842667376640, 11469643055104, 9957277696,
    54400064159744,
  ),
}  # fmt: skip
_BATCH = {
  "frames": "f7b3b597287d1522",
  "kinds": "28a9f5525c19e487",
  "labels": "96af3a9af5e2ab9d",
  "mel_lengths": "e72eb6e0a8462480",
  "positions": "a8efbad7e4cb5cd0",
  "sample_ids": "515fe389333c6706",
  "segments": "92837bf4150178ce",
  "source": "8fb829b96d763376",
  "supervised": "1facddc396db40c7",
  "tasks": "fdda61e97c6c6052",
  "tokens": "59c8b69aecf68b92",
  "weights": "ca210833a4ae3deb",
}
_MEL_SUM = 123053.1  # of absolute values: the last bits depend on the machine


def _hash(data: bytes) -> str:
  return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize("make", _TREES, ids=lambda make: make.__name__)
def test_parameters_their_shapes_dtypes_and_logical_axes(make):
  boxed = thinker.abstract(make(adapter=_ADAPTER))
  axes = nn.get_partition_spec(boxed)
  axes = flax.traverse_util.flatten_dict(axes, sep="/")
  leaves = flax.traverse_util.flatten_dict(nn.meta.unbox(boxed), sep="/")
  lines = [
    f"{path} {list(leaf.shape)} {leaf.dtype} {tuple(axes[path])}"
    for path, leaf in sorted(leaves.items())
  ]
  assert len(lines) == 99
  assert _hash("\n".join(lines).encode()) == _TREES[make]


@pytest.mark.parametrize("make,trains", _FLOPS)
def test_flops(make, trains):
  model = make(adapter=_ADAPTER)
  if trains == "prefill":
    count = flops.prefill(model, _ROWS)
  else:
    count = flops.train_step(model, _ROWS, trains)
  assert dataclasses.astuple(count) == _FLOPS[make, trains]


def test_packed_batches():
  found = [
    small_records.record(name, row)
    for name in ("a2v", "avqa", "ave", "ms3", "avcap")
    for row in range(3)
  ]
  tokenizer = small_records.small_tokenizer(found)
  model = small_records.MODEL
  maker = samples.sample_maker(
    tokenizer, small_records.DATA, model, tasks.Tasks()
  )
  rows = configs.Rows(
    rows=2, tokens=1024, frame_pairs=24, chunks=40, supervised=256, samples=16
  )
  packer = packing.Packer(rows)
  for record in found:
    sample = maker.train(record)
    assert packer.add(sample, packing.sizes(sample)) is None
  full = list(iter(packer.pop, None))
  batch = packing.Layout(len(full), rows, model, tokenizer.pad).stack(full)
  mel = batch.pop("mel")
  assert mel.shape == (4, 40, 200, 64) and mel.dtype == np.float32
  assert abs(np.abs(mel.astype(np.float64)).sum() - _MEL_SUM) < 1.0
  assert {name: _hash(x.tobytes()) for name, x in batch.items()} == _BATCH
