"""Parity with transformers' Sam2Model on random weights, module by module."""

import dataclasses
import math

import jax
import numpy as np
import pytest
import torch

from crab_jax import configs
from crab_jax.models import attention
from crab_jax.models.sam2 import hiera
from crab_jax.models.sam2 import network
from crab_jax.models.sam2 import prompt_encoder
from tests.models.sam2 import torch_sam2

TINY = torch_sam2.TINY
_ENCODER = 2e-5  # on +-20
_LOGITS = 5e-5  # on +-17
_OVERLAPS = 1e-6
_LABEL = prompt_encoder.Label


@dataclasses.dataclass(frozen=True)
class Inputs:
  """Drawn in this order from one generator."""

  pixels: torch.Tensor  # [2, 3, 128, 128]
  points: torch.Tensor  # [2, 1, 3, 2]
  box: torch.Tensor  # [2, 1, 4]
  mask: torch.Tensor  # [2, 1, 32, 32]


@pytest.fixture(scope="module")
def inputs():
  g = torch.Generator().manual_seed(1)
  pixels = torch.randn(2, 3, 128, 128, generator=g)
  points = torch.rand(2, 1, 3, 2, generator=g) * 128
  low = torch.rand(2, 1, 2, generator=g) * 60
  high = low + 20 + torch.rand(2, 1, 2, generator=g) * 40
  mask = torch.randn(2, 1, 32, 32, generator=g) * 4
  return Inputs(pixels, points, torch.cat([low, high], -1), mask)


@pytest.fixture(scope="module")
def theirs():
  return torch_sam2.build(TINY)


@pytest.fixture(scope="module")
def params(theirs):
  return torch_sam2.parameters(TINY, theirs)


@pytest.fixture(scope="module")
def encoded(params, inputs):
  images = inputs.pixels.permute(0, 2, 3, 1).numpy()
  return encode(params, images)


@jax.jit
def encode(params, images):
  return network.encode(TINY, params, images)


@jax.jit
def decode(params, encoded, prompt, mask=None):
  return network.decode(TINY, params, encoded, prompt, mask)


def _prompt(inputs, kinds: str, slots: int = 6) -> network.Prompt:
  """Points and corners in the order of transformers, one padding point."""
  points, labels = [], []
  if "points" in kinds:
    points.append(inputs.points[:, 0].numpy())
    labels += [_LABEL.INSIDE] * 3
  if "box" in kinds:
    points.append(inputs.box[:, 0].reshape(2, 2, 2).numpy())
    labels += [_LABEL.TOP_LEFT, _LABEL.BOTTOM_RIGHT]
  points.append(np.zeros((2, 1, 2), np.float32))
  labels.append(_LABEL.PADDING)
  used = len(labels)
  unused = slots - used
  points.append(np.full((2, unused, 2), 7, np.float32))
  labels += [_LABEL.INSIDE] * unused
  return network.Prompt(
    np.concatenate(points, 1),
    np.tile(np.array(labels, np.int32), (2, 1)),
    np.tile(np.arange(slots) < used, (2, 1)),
  )


def _their_prompt(inputs, kinds: str) -> dict:
  found: dict = {}
  if "points" in kinds:
    found["input_points"] = inputs.points
    found["input_labels"] = torch.ones(2, 1, 3, dtype=torch.int32)
  if "box" in kinds:
    found["input_boxes"] = inputs.box
  if "mask" in kinds:
    found["input_masks"] = inputs.mask
  return found


_COUNTS = {
  "tiny": 31_440_721,
  "small": 38_538_577,
  "base-plus": 73_328_401,
  "large": 216_924_865,
}
_GAUSSIAN = 2 * 128  # a buffer of torch, a leaf of ours


@pytest.mark.parametrize("size", _COUNTS)
def test_each_size_has_the_released_number_of_parameters(size):
  tree = network.shapes(configs.SAM2_SIZES[size])
  count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
  assert count == _COUNTS[size] + _GAUSSIAN


def test_the_inputs_are_those_of_the_recorded_values(inputs):
  assert inputs.pixels.sum().item() == pytest.approx(-178.82068, abs=1e-3)
  assert inputs.points[0, 0, 0].tolist() == pytest.approx(
    [56.39128, 49.00091], abs=1e-4
  )


def test_the_tree_is_the_one_that_is_initialised(params):
  shapes = network.shapes(TINY)
  assert jax.tree.map(lambda x: x.shape, params) == jax.tree.map(
    lambda x: x.shape, shapes
  )


def test_the_encoder(theirs, inputs, encoded):
  with torch.no_grad():
    maps = theirs.get_image_embeddings(inputs.pixels)
  for name, (ours, wanted) in zip(
    network.Encoded._fields, zip(encoded, maps, strict=True), strict=True
  ):
    wanted = wanted.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, wanted, atol=_ENCODER, err_msg=name)


@pytest.mark.parametrize(
  "kinds", ["points box", "points", "box", "points box mask"]
)
@pytest.mark.parametrize("several", [True, False])
def test_the_decoder(theirs, params, inputs, encoded, kinds, several):
  mask = None
  if "mask" in kinds:
    mask = inputs.mask.permute(0, 2, 3, 1).numpy()
  found = decode(params, encoded, _prompt(inputs, kinds), mask)
  with torch.no_grad():
    wanted = theirs(
      pixel_values=inputs.pixels,
      multimask_output=several,
      **_their_prompt(inputs, kinds),
    )
  if several:
    masks, overlaps = found.masks[:, 1:], found.overlaps[:, 1:]
  else:
    masks, overlaps = (x[:, None] for x in network.select(found))
  np.testing.assert_allclose(
    masks, wanted.pred_masks[:, 0].numpy(), atol=_LOGITS
  )
  np.testing.assert_allclose(
    overlaps, wanted.iou_scores[:, 0].numpy(), atol=_OVERLAPS
  )
  np.testing.assert_allclose(
    found.presence, wanted.object_score_logits[:, 0, 0].numpy(), atol=_LOGITS
  )


def test_recorded_values(params, inputs, encoded):
  """Of torch 2.13: so that a change of transformers is seen as such."""
  found = decode(params, encoded, _prompt(inputs, "points box"))
  masks, overlaps = network.select(found)
  np.testing.assert_allclose(overlaps, [0.427726, 0.436833], atol=2e-6)
  np.testing.assert_allclose(found.presence, [-0.198324, -0.153258], atol=1e-5)
  np.testing.assert_allclose(
    masks[0, 0, :4], [-0.395700, 0.022227, -4.316917, -0.082160],
    atol=2e-5,
  )  # fmt: skip


def test_a_stable_single_mask_is_taken(theirs, params, inputs, encoded):
  found = decode(params, encoded, _prompt(inputs, "points box"))
  masks, overlaps = network.select(found, threshold=0.0)
  np.testing.assert_array_equal(masks, found.masks[:, 0])
  np.testing.assert_allclose(overlaps, [0.487232, 0.497434], atol=2e-6)


def test_an_empty_single_mask_is_stable():
  masks = np.full((1, 4, 2, 2), -1, np.float32)
  masks[:, 2] = 1
  overlaps = np.array([[0.1, 0.2, 0.9, 0.3]], np.float32)
  found = network.Decoded(masks, overlaps, np.zeros(1, np.float32))
  assert network.select(found)[1] == np.float32(0.1)


def test_unused_slots_change_nothing(params, inputs, encoded):
  few = _prompt(inputs, "box", slots=3)
  many = _prompt(inputs, "box", slots=6)
  one, other = (decode(params, encoded, prompt) for prompt in (few, many))
  np.testing.assert_allclose(one.masks, other.masks, atol=_LOGITS)
  # They are masked, and not merely without weight.
  seen = many._replace(valid=np.ones_like(many.valid))
  changed = decode(params, encoded, seen)
  assert np.abs(np.asarray(changed.masks - one.masks)).max() > 0.1


def test_a_bfloat16_encoder_is_near(params, inputs, encoded):
  config = dataclasses.replace(TINY, encoder_dtype="bfloat16")
  images = inputs.pixels.permute(0, 2, 3, 1).numpy()
  rough = jax.jit(
    lambda x: network.Sam2(config).apply({"params": params}, x, method="encode")
  )(images)
  exact = np.asarray(encoded.embedding)
  error = np.linalg.norm(rough.embedding - exact) / np.linalg.norm(exact)
  assert 1e-4 < error < 0.03
  assert rough.embedding.dtype == np.float32


def test_a_head_alone_attends_as_all_heads_do():
  """What a CPU does with a whole map: two images, eight parts of the queries."""
  keys = jax.random.split(jax.random.key(0), 3)
  q, k, v = (jax.random.normal(key, (2, 2048, 3, 8)) for key in keys)
  found = jax.jit(hiera._attention)(q, k, v)
  np.testing.assert_allclose(found, attention.attend(q, k, v), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["base-plus"])
def test_a_released_size_on_a_small_image(size):
  config = torch_sam2.at(configs.SAM2_SIZES[size], 256)
  theirs = torch_sam2.build(config)
  params = torch_sam2.parameters(config, theirs)
  g = torch.Generator().manual_seed(1)
  pixels = torch.randn(1, 3, 256, 256, generator=g)
  box = torch.tensor([[[30.0, 40.0, 150.0, 200.0]]])
  with torch.no_grad():
    wanted = theirs(pixel_values=pixels, input_boxes=box).pred_masks[:, 0]
  prompt = network.Prompt(
    np.array([[[30, 40], [150, 200], [0, 0]]], np.float32),
    np.array([[2, 3, -1]], np.int32),
    np.ones((1, 3), bool),
  )

  @jax.jit
  def run(params, images, prompt):
    net = network.Sam2(config)
    kept = net.apply({"params": params}, images, method="encode")
    return net.apply({"params": params}, kept, prompt, method="decode").masks

  found = run(params, pixels.permute(0, 2, 3, 1).numpy(), prompt)
  np.testing.assert_allclose(found[:, 1:], wanted.numpy(), atol=5e-4)
