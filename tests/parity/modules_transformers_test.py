"""Each module of the towers and the decoder gives transformers' numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as theirs

from crab_jax.models import attention
from crab_jax.models import decoder
from crab_jax.models import layers
from crab_jax.models import rope
from crab_jax.paradigms.qwen2_5_omni import audio_tower
from crab_jax.paradigms.qwen2_5_omni import vision_tower
from tests.parity import torch_thinker

MODEL = torch_thinker.MODEL


@pytest.fixture(scope="module")
def reference():
  return torch_thinker.make()


@pytest.fixture(scope="module")
def params(reference):
  return torch_thinker.params_of(reference)


def _random(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _layer(tree, i):
  return jax.tree.map(lambda x: x[i], tree)


def _apply(module, params, *inputs, **options):
  run = jax.jit(lambda p, x: module.apply({"params": p}, *x, **options))
  return run(params, inputs)


def _close(ours, torch_tensor):
  expected = torch_tensor.detach().numpy()
  ours = np.asarray(ours)
  assert ours.shape == expected.shape
  assert np.abs(expected).max() > 0.5
  difference = np.abs(ours - expected).max()
  print("differs by", difference, "of", np.abs(expected).max())
  assert difference < torch_thinker.TOLERANCE


def test_rms_norm(reference, params):
  x = _random(2, 5, 96)
  norm = reference.model.language_model.norm
  _close(
    _apply(layers.RMSNorm(MODEL), params["model"]["norm"], x),
    norm(torch.tensor(x)),
  )


def test_layer_norm(reference, params):
  x = 3 + _random(2, 5, 64)
  _close(
    _apply(layers.LayerNorm(MODEL), params["audio_tower"]["ln_post"], x),
    reference.model.audio_tower.ln_post(torch.tensor(x)),
  )


def test_decoder_rope(reference):
  positions = np.random.default_rng(0).integers(0, 900, (2, 7, 3))
  q, k = _random(2, 7, 6, 16), _random(2, 7, 2, 16, seed=1)
  rotary = reference.model.language_model.rotary_emb
  cos, sin = rotary(torch.tensor(q), torch.tensor(positions.transpose(2, 0, 1)))
  expected = theirs.apply_rotary_pos_emb(
    torch.tensor(q), torch.tensor(k), cos, sin, unsqueeze_dim=2
  )
  table = rope.decoder_table(positions, MODEL.decoder)
  for x, rotated in zip((q, k), expected, strict=True):
    _close(rope.rotate(jnp.asarray(x), table), rotated)


def test_attention_with_groups():
  q, k = _random(2, 9, 6, 16), _random(2, 9, 2, 16, seed=1)
  v = _random(2, 9, 2, 16, seed=2)
  heads = [torch.tensor(x).swapaxes(1, 2) for x in (q, k, v)]
  expected = torch.nn.functional.scaled_dot_product_attention(
    *heads, is_causal=True, enable_gqa=True
  )
  found = attention.attend(q, k, v, causal=True)
  _close(found, expected.swapaxes(1, 2))


def test_decoder_layer(reference, params):
  x = _random(2, 11, 96)
  positions = np.sort(np.random.default_rng(0).integers(0, 90, (2, 11, 3)), 1)
  model = reference.model.language_model
  table = model.rotary_emb(
    torch.tensor(x), torch.tensor(positions.transpose(2, 0, 1))
  )
  mask = torch.full((11, 11), -torch.inf).triu(1)[None, None]
  expected = model.layers[1](
    torch.tensor(x), attention_mask=mask, position_embeddings=table
  )
  found, _ = _apply(
    decoder.DecoderLayer(MODEL),
    _layer(params["model"]["layers"], 1),
    x,
    rope.decoder_table(positions, MODEL.decoder),
    np.ones((2, 11), np.int32),
  )
  _close(found, expected)


def test_audio_layer(reference, params):
  x = _random(1, 2, 100, 64)
  tower = reference.model.audio_tower
  length = 69  # of the second chunk
  flat = torch.tensor(np.concatenate([x[0, 0], x[0, 1, :length]]))
  expected = tower.layers[1](
    flat, cu_seqlens=torch.tensor([0, 100, 100 + length])
  )[0]
  valid = np.arange(100)[None, None] < np.array([[[100], [length]]])
  found, _ = _apply(
    audio_tower.AudioLayer(MODEL),
    _layer(params["audio_tower"]["layers"], 1),
    x,
    valid.astype(np.int32),
  )
  _close(np.concatenate([found[0, 0], found[0, 1, :length]]), expected)


def test_audio_tower_with_a_tail_chunk(reference, params):
  # 337 mel frames: 200 + 137, tokens 50 + 34; 101: 25 tokens, one position
  # of the odd last pair dropped.
  first, second = _random(337, 16), _random(101, 16, seed=1)
  tower = reference.model.audio_tower
  lengths = torch.tensor([337, 101])
  expected = tower(
    torch.tensor(np.concatenate([first, second]).T), feature_lens=lengths
  ).last_hidden_state
  mel = np.zeros((1, 4, 200, 16), np.float32)
  mel[0, :2].reshape(400, 16)[:337] = first
  mel[0, 2, :101] = second
  frames = np.array([[200, 137, 101, 0]], np.int32)
  found = _apply(
    audio_tower.AudioTower(MODEL), params["audio_tower"], mel, frames
  )
  assert np.all(np.isfinite(found))  # the unused chunk too
  parts = (found[0, 0], found[0, 1, :34], found[0, 2, :25])
  _close(np.concatenate(parts), expected)


def test_patch_rows():
  frames = np.random.default_rng(0).integers(
    0, 256, (1, 2, 2, 112, 112, 3), dtype=np.uint8
  )
  rows = vision_tower.patchify(frames, MODEL.vision)
  order = vision_tower.window_order(MODEL.vision)
  expected = torch_thinker.patch_rows(frames[0]).reshape(2, -1, 4, 1176)
  expected = expected[:, order].reshape(2, -1, 1176)
  assert np.abs(np.asarray(rows[0]) - expected).max() < 2.4e-7


def test_vision_block(reference, params):
  tower = reference.model.visual
  x = _random(1, 2, 64, 64)
  coordinates = vision_tower.patch_coordinates(MODEL.vision)
  cos, sin = tower.rotary_pos_emb(torch.tensor(x), torch.tensor(coordinates))
  table = rope.vision_table(coordinates, 16)
  for full, ends in ((True, [0, 64, 128]), (False, range(0, 129, 16))):
    expected = tower.blocks[2](
      torch.tensor(x).reshape(-1, 64),
      cu_seqlens=torch.tensor(list(ends)),
      position_embeddings=(cos.repeat(2, 1), sin.repeat(2, 1)),
    )
    found, _ = _apply(
      vision_tower.VisionBlock(MODEL),
      _layer(params["visual"]["blocks"], 2),
      x,
      table,
      np.bool_(full),
    )
    _close(found.reshape(-1, 64), expected)


def test_merger(reference, params):
  x = _random(1, 2, 64, 64)
  expected = reference.model.visual.merger(torch.tensor(x).reshape(-1, 64))
  found = _apply(vision_tower.Merger(MODEL), params["visual"]["merger"], x)
  _close(found.reshape(-1, 96), expected)


def test_vision_tower(reference, params):
  frames = np.random.default_rng(0).integers(
    0, 256, (1, 3, 2, 112, 112, 3), dtype=np.uint8
  )
  expected = reference.model.visual(
    torch.tensor(torch_thinker.patch_rows(frames[0])),
    grid_thw=torch.tensor([[3, 8, 8]]),
  ).pooler_output
  found = _apply(vision_tower.VisionTower(MODEL), params["visual"], frames)
  _close(found.reshape(-1, 96), expected)
