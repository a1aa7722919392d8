"""What planning counts of the encoders, against the sizes of their matrices."""

import dataclasses
import functools

import flax.traverse_util
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.paradigms import thinker
from crab_jax.paradigms.encoder_projector import flops

_ROWS = configs.Rows(rows=1, tokens=64, frame_pairs=5, chunks=7)
_MODEL = configs.tiny_clip_beats()


@functools.cache
def _leaves() -> dict:
  tree = nn.meta.unbox(thinker.abstract(_MODEL))
  return flax.traverse_util.flatten_dict(tree, sep="/")


def _matrices(top: str, names: tuple[str, ...]) -> int:
  """Elements of the kernels of some modules."""
  return sum(
    leaf.size
    for path, leaf in _leaves().items()
    if path.startswith(top)
    and path.endswith("kernel")
    and path.split("/")[-2] in names
  )


def test_stacks_count_every_matrix_at_every_position():
  vision, audio = flops.encoders(_MODEL, _ROWS).stacks
  assert (vision.positions, audio.positions) == (5 * 17, 7 * 24)
  for stack, top in ((vision, "clip/tower/"), (audio, "beats/tower/")):
    elements = stack.layers * sum(d * k for d, k in stack.shapes.values())
    assert elements == _matrices(f"{top}layers", tuple(stack.shapes))


def test_first_and_last_layers():
  found = flops.encoders(_MODEL, _ROWS)
  convolution = 16 * 64 * 64 // 4
  first = 5 * 16 * _matrices("clip/tower/", ("patch_embedding",))
  names = ("patch_embedding", "post_extract_proj")
  first += 7 * 24 * (_matrices("beats/tower/", names) + convolution)
  assert found.first == 2 * first
  last = 0
  for top, units, queries, keys in (("clip", 5, 4, 16), ("beats", 7, 2, 24)):
    tree = f"{top}/projector/"
    wide = _matrices(f"{tree}layers/crossattention", ("key", "value"))
    names = ("query", "key", "value", "dense", "fc1", "fc2", "proj_0", "proj_2")
    rest = _matrices(tree, names) - wide
    scores = 2 * queries * (queries + keys) * 64
    last += units * (queries * rest + keys * wide + scores)
  assert found.last == 2 * last


def test_a_connector_counts_every_product():
  vision = dataclasses.replace(_MODEL.vision, projector="stc", unit_frames=2)
  model = dataclasses.replace(_MODEL, vision=vision)
  tree = nn.meta.unbox(thinker.abstract(model))["clip"]["projector"]
  flat = flax.traverse_util.flatten_dict(tree, sep="/")

  def elements(*ends: str) -> int:
    return sum(
      leaf.size
      for path, leaf in flat.items()
      if path.startswith(ends[0]) and path.endswith(ends[1:])
    )

  shapes = ("conv/kernel", "conv2/taps")
  squeeze = ("fc1/kernel", "fc2/kernel")
  expected = 2 * (16 * elements("s1", *shapes) + elements("s1", *squeeze))
  expected += 4 * elements("s2", *shapes) + elements("s2", *squeeze)
  expected += 4 * (
    elements("sampler", "kernel") + elements("readout", "kernel")
  )
  rows = dataclasses.replace(_ROWS, frame_pairs=6)
  found, more = (flops.encoders(model, x) for x in (_ROWS, rows))
  assert more.last - found.last == pytest.approx(2 * expected)


def test_a_pooled_projector_is_one_product():
  vision = dataclasses.replace(_MODEL.vision, projector="pooled", unit_frames=2)
  model = dataclasses.replace(_MODEL, vision=vision)
  rows = dataclasses.replace(_ROWS, frame_pairs=6)
  found, more = (flops.encoders(model, x) for x in (_ROWS, rows))
  assert found.stacks[0].positions == 5 * 2 * 17
  assert more.last - found.last == pytest.approx(2 * (16 + 2) * 64 * 128)
