"""BEATs: values that the official module gave, buckets, padding."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.paradigms.encoder_projector import beats

_TINY = configs.tiny_clip_beats(
  audio=configs.BeatsAudio(
    bins=32,
    layers=2,
    width=32,
    heads=2,
    mlp=64,
    embed=16,
    conv_taps=8,
    conv_groups=4,
    unit_frames=32,
  )
)


def _fill(shape, scale, step):
  count = np.arange(1, np.prod(shape) + 1, dtype=np.float64)
  return (scale * np.sin(step * count)).reshape(shape).astype(np.float32)


def _linear(weight, bias=None):
  made = {"kernel": _fill(*weight).T}
  return made if bias is None else made | {"bias": _fill(*bias)}


def _norm(weight, bias, size=32):
  return {"weight": 1 + _fill((size,), *weight), "bias": _fill((size,), *bias)}


def _layer(i):
  attention = {
    f"{name}_proj": _linear(
      ((32, 32), 0.2, 0.3 + 0.1 * j + 0.05 * i), ((32,), 0.1, 0.2 + 0.1 * j)
    )
    for j, name in enumerate(("q", "k", "v", "out"))
  }
  attention["grep_linear"] = _linear(((8, 16), 0.2, 0.9), ((8,), 0.1, 1.1))
  attention["grep_a"] = 1 + _fill((2,), 0.2, 0.7)
  return {
    "self_attn": attention,
    "self_attn_layer_norm": _norm((0.1, 0.5), (0.1, 0.6)),
    "fc1": _linear(((64, 32), 0.2, 0.45), ((64,), 0.1, 0.35)),
    "fc2": _linear(((32, 64), 0.2, 0.55), ((32,), 0.1, 0.65)),
    "final_layer_norm": _norm((0.1, 0.75), (0.1, 0.85)),
  }


@pytest.fixture(scope="module")
def params():
  patch = _fill((16, 1, 16, 16), 0.2, 0.7)
  v, g = _fill((32, 8, 8), 0.3, 0.37), 1 + _fill((1, 1, 8), 0.2, 0.6)
  taps = v * g / np.sqrt((v**2).sum((0, 1), keepdims=True))
  return {
    "patch_embedding": {"kernel": patch.reshape(16, -1).T},
    "layer_norm": _norm((0.1, 1.3), (0.1, 0.9), 16),
    "post_extract_proj": _linear(((32, 16), 0.3, 0.5), ((32,), 0.1, 0.3)),
    "pos_conv": {"weight": taps.T, "bias": _fill((32,), 0.1, 0.8)},
    "encoder_layer_norm": _norm((0.1, 0.4), (0.1, 0.2)),
    "relative_attention_bias": _fill((320, 2), 0.5, 0.11),
    "layers": jax.tree.map(lambda *x: np.stack(x), _layer(0), _layer(1)),
  }


@jax.jit
def _forward(params, units, lengths):
  index = jnp.arange(_TINY.audio.unit_positions)[None, None]
  valid = index < _TINY.audio.positions_of(lengths)[..., None]
  return beats.Beats(_TINY).apply({"params": params}, units, valid)


def _run(params, units, lengths):
  return np.asarray(_forward(params, units, lengths))


def test_it_gives_the_official_numbers(params):
  """Values of the official module; 34 frames, of which 32 make patches."""
  units = _fill((1, 34, 32), 0.8, 0.21)[:, None, :32]
  found = _run(params, units, np.full((1, 1), 32, np.int32))[0, 0]
  expected = [
    [-0.036463, 2.904261, 2.060052, -0.431351],
    [1.973131, 0.403535, 0.645459, 2.333195],
  ]
  np.testing.assert_allclose(found[[0, 3], :4], expected, atol=2e-5)
  np.testing.assert_allclose(found.mean(), 0.018045, atol=2e-6)
  np.testing.assert_allclose(np.abs(found).max(), 3.0427, atol=1e-4)


def test_padding_does_not_change_a_segment(params):
  """A segment of 16 frames in a unit of 32, and alone in one of 16."""
  units = _fill((1, 1, 32, 32), 0.8, 0.21)
  other = units.copy()
  other[:, :, 16:] = 9.0
  lengths = np.full((1, 1), 16, np.int32)
  found, same = (_run(params, x, lengths)[0, 0, :2] for x in (units, other))
  np.testing.assert_array_equal(found, same)
  small = dataclasses.replace(_TINY.audio, unit_frames=16)
  config = dataclasses.replace(_TINY, audio=small)
  valid = np.ones((1, 1, 2), bool)
  forward = jax.jit(beats.Beats(config).apply)
  alone = forward({"params": params}, units[:, :, :16], valid)
  np.testing.assert_allclose(found, np.asarray(alone)[0, 0], atol=1e-5)
  assert np.isfinite(_run(params, units, np.zeros((1, 1), np.int32))).all()


def test_buckets():
  # fmt: off
  expected = {0: 0, 1: 161, 79: 239, 80: 240, 81: 240, 95: 245, 200: 271,
              799: 319, 800: 319, -1: 1, -79: 79, -80: 80, -95: 85, -800: 159}
  # fmt: on
  index = beats.relative_buckets(801, 320, 800)
  for delta, bucket in expected.items():
    query, key = (0, delta) if delta >= 0 else (-delta, 0)
    assert index[query, key] == bucket, delta


def test_patches_are_time_major():
  units = np.arange(32 * 32, dtype=np.float32).reshape(1, 1, 32, 32)
  rows = np.asarray(beats.patchify(units, 16))[0, 0]
  for place, (t, b) in enumerate(itertools.product(range(2), range(2))):
    block = units[0, 0, 16 * t : 16 * t + 16, 16 * b : 16 * b + 16]
    np.testing.assert_array_equal(rows[place], block.reshape(-1))
