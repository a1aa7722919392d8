"""The connector: values that the published arrangement of timm's blocks gave."""

import dataclasses
import re

import flax.traverse_util
import jax
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.paradigms import network
from crab_jax.paradigms.encoder_projector import stc
from tests.models import random_parameters

_TINY = configs.tiny_clip_beats()
_SMALL = dataclasses.replace(
  _TINY,
  decoder=dataclasses.replace(
    _TINY.decoder, width=16, heads=1, kv_heads=1, head_size=32, mlp=16, layers=1
  ),
)


def _fill(shape, scale, step):
  count = np.arange(1, np.prod(shape) + 1, dtype=np.float64)
  return (scale * np.sin(step * count)).reshape(shape).astype(np.float32)


def _published(width, inputs, blocks):
  """Shapes by the names of the published module."""
  shapes = {"sampler.0.weight": (width, width, 2, 2, 2)}
  shapes |= {f"readout.{i}.weight": (width, width) for i in (0, 2)}
  for stage, first in (("s1", inputs), ("s2", width)):
    for block in range(1, blocks + 1):
      at, had = f"{stage}.b{block}", first if block == 1 else width
      convolutions = {
        "conv1": (had, 1),
        "conv2": (1, 3),
        "conv3": (width, 1),
      }
      if had != width:
        convolutions["downsample"] = (had, 1)
      for name, (channels, side) in convolutions.items():
        shapes[f"{at}.{name}.conv.weight"] = (width, channels, side, side)
        shapes[f"{at}.{name}.bn.weight"] = (width,)
      shapes[f"{at}.se.fc1.weight"] = (had // 4, width, 1, 1)
      shapes[f"{at}.se.fc2.weight"] = (width, had // 4, 1, 1)
  biased = re.compile(r"bn|se|sampler|readout")
  return shapes | {
    name.replace("weight", "bias"): shape[:1]
    for name, shape in shapes.items()
    if biased.search(name)
  }


def _path(name):
  """Our leaf for a published name; kernels are matrices."""
  path = name.replace("sampler.0", "sampler").replace("readout.", "readout_")
  path = path.replace("conv2.conv.weight", "conv2.taps")
  if ".bn." not in path:
    path = path.replace("weight", "kernel")
  return path.replace(".", "/")


@pytest.fixture(scope="module")
def params():
  shapes, flat = _published(16, 24, 2), {}
  for index, name in enumerate(sorted(shapes)):
    values = _fill(shapes[name], 0.4, 0.3 + 0.07 * index)
    if name.endswith("bn.weight"):
      values += 1
    if values.ndim > 1:
      values = values.reshape(len(values), -1).T
    flat[_path(name)] = values
  return flax.traverse_util.unflatten_dict(flat, sep="/")


def test_it_gives_the_published_numbers(params):
  """Two units of two frames of six by six patches."""
  features = _fill((1, 4, 6, 6, 24), 0.9, 0.23).reshape(1, 2, 2, 36, 24)
  module = stc.ConvolutionProjector(_SMALL, 2)
  found = np.asarray(jax.jit(module.apply)({"params": params}, features))
  assert found.shape == (1, 2, 9, 16)
  # fmt: off
  np.testing.assert_allclose(
    found[0, 0, 0, :4], [-1.7962, 0.1886, 2.4262, -0.7158], atol=1e-4)
  np.testing.assert_allclose(
    found[0, 1, 8, :4], [-3.1933, -2.6860, 5.5553, 0.2734], atol=1e-4)
  # fmt: on
  np.testing.assert_allclose(found.mean(), -0.1288, atol=1e-4)
  np.testing.assert_allclose(np.abs(found).max(), 7.3981, atol=1e-4)


def test_an_odd_grid_loses_its_last_row_and_column(params):
  features = _fill((1, 1, 2, 7, 7, 24), 0.9, 0.23)
  run = jax.jit(lambda x: stc.windows(x))
  whole, cut = run(features), run(features[:, :, :, :6, :6])
  np.testing.assert_array_equal(whole, cut)
  assert whole.shape == (1, 1, 3, 3, 8 * 24)


@pytest.mark.parametrize(
  ("preset", "count"),
  [
    (configs.clip_beats_llama2_7b, 489_188_608),
    (configs.clip_beats_qwen2_7b, 375_742_336),
  ],
)
def test_parameters_of_the_released_sizes(preset, count):
  """As torch counts them."""
  module = stc.ConvolutionProjector(preset(), configs.ClipVision.stage_blocks)
  features = jax.ShapeDtypeStruct((1, 1, 2, 256, 1024), np.float32)
  tree = jax.eval_shape(module.init, jax.random.key(0), features)
  leaves = jax.tree.leaves(nn.meta.unbox(tree))
  assert sum(int(np.prod(leaf.shape)) for leaf in leaves) == count


@pytest.mark.slow
def test_its_tokens_stand_where_those_of_a_unit_do():
  vision = dataclasses.replace(
    _TINY.vision, projector="stc", unit_frames=2, layers=1, stage_blocks=1
  )
  model = dataclasses.replace(_SMALL, vision=vision)
  encoder = network.of(model).vision(model)
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (1, 3, 2, 112, 112, 3)).astype(np.uint8)
  params = {"params": random_parameters.draw(model)["clip"]}
  run = jax.jit(encoder.apply)
  found = np.asarray(run(params, frames))
  assert found.shape == (1, 3, vision.unit_tokens, 16)
  # A unit is seen alone, and the order of its frames counts.
  frames[:, 1] = frames[:, 1, ::-1]
  again = np.asarray(run(params, frames))
  np.testing.assert_allclose(again[:, ::2], found[:, ::2], atol=1e-5)
  assert np.abs(again[:, 1] - found[:, 1]).max() > 1e-2
