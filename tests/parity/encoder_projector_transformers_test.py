"""CLIP, the Q-Former and both language models give transformers' numbers."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
import transformers

from crab_jax import configs
from crab_jax.models import decoder
from crab_jax.paradigms.encoder_projector import clip
from crab_jax.paradigms.encoder_projector import projectors
from tests.parity import torch_thinker

_TINY = configs.tiny_clip_beats()


def _random(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _shaken(module):
  """The module with values that no initialiser leaves at 0 or 1."""
  torch.manual_seed(0)
  with torch.no_grad():
    for name, x in module.named_parameters():
      x.copy_(torch.randn_like(x) * (0.5 / max(x.shape[-1], 4) ** 0.5))
      if "norm" in name.lower() and name.endswith("weight"):
        x += 1
  return module.eval()


def _leaves(module) -> dict[str, np.ndarray]:
  return {name: x.detach().numpy() for name, x in module.named_parameters()}


def _linear(found, name, bias=True):
  made = {"kernel": found[f"{name}.weight"].T}
  return made | ({"bias": found[f"{name}.bias"]} if bias else {})


def _norm(found, name):
  return {k: found[f"{name}.{k}"] for k in ("weight", "bias")}


def _stacked(layers):
  return jax.tree.map(lambda *x: np.stack(x), *layers)


def _close(ours, theirs):
  expected = theirs.detach().numpy()
  assert np.abs(expected).max() > 0.5
  np.testing.assert_allclose(
    np.asarray(ours), expected, atol=torch_thinker.TOLERANCE
  )


@pytest.mark.parametrize("layers", [1, 3])
def test_clip(layers):
  theirs = _shaken(
    transformers.CLIPVisionModel(
      transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=56,
        patch_size=14,
      )
    )
  )
  found = {
    name.removeprefix("vision_model."): x for name, x in _leaves(theirs).items()
  }

  def layer(i):
    at = f"encoder.layers.{i}"
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    return {
      "self_attn": {n: _linear(found, f"{at}.self_attn.{n}") for n in names},
      "layer_norm1": _norm(found, f"{at}.layer_norm1"),
      "layer_norm2": _norm(found, f"{at}.layer_norm2"),
      "fc1": _linear(found, f"{at}.mlp.fc1"),
      "fc2": _linear(found, f"{at}.mlp.fc2"),
    }

  embed = found["embeddings.patch_embedding.weight"]
  params = {
    "patch_embedding": {"kernel": embed.reshape(len(embed), -1).T},
    "class_embedding": found["embeddings.class_embedding"],
    "position_embedding": found["embeddings.position_embedding.weight"],
    "pre_layrnorm": _norm(found, "pre_layrnorm"),
    "layers": _stacked([layer(i) for i in range(layers)]),
  }
  vision = configs.ClipVision(
    frame_size=56, patch=14, layers=layers, width=32, heads=4, mlp=64
  )
  model = dataclasses.replace(_TINY, vision=vision)
  frames = np.random.default_rng(0).integers(0, 256, (1, 2, 56, 56, 3))
  frames = frames.astype(np.uint8)
  pixels = (frames[0] / 255 - np.array(clip.MEAN)) / np.array(clip.STD)
  expected = theirs(
    torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32),
    output_hidden_states=True,
  ).hidden_states[layers]
  ours = jax.jit(clip.Clip(model).apply)({"params": params}, frames)
  _close(ours[0], expected[:, 1:])


def test_q_former():
  theirs = _shaken(
    transformers.Blip2QFormerModel(
      transformers.Blip2QFormerConfig(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        cross_attention_frequency=1,
        encoder_hidden_size=32,
      )
    )
  )
  found = _leaves(theirs)

  def attention(at):
    inner = {n: f"{at}.attention.{n}" for n in ("query", "key", "value")}
    inner["dense"] = f"{at}.output.dense"
    made = {n: _linear(found, name) for n, name in inner.items()}
    return made | {"norm": _norm(found, f"{at}.output.LayerNorm")}

  def layer(i):
    at = f"encoder.layer.{i}"
    return {
      "attention": attention(f"{at}.attention"),
      "crossattention": attention(f"{at}.crossattention"),
      "fc1": _linear(found, f"{at}.intermediate_query.dense"),
      "fc2": _linear(found, f"{at}.output_query.dense"),
      "norm": _norm(found, f"{at}.output_query.LayerNorm"),
    }

  sizes = configs.BeatsAudio(
    queries=5, query_width=48, query_heads=4, query_mlp=96
  )
  queries, features = 0.5 * _random(5, 48), _random(2, 7, 32, seed=1)
  # Ours normalises the features first, as the published projector does; theirs
  # gets them normalised.
  norm = torch.nn.functional.layer_norm(torch.tensor(features), (32,))
  hidden = theirs(
    query_embeds=torch.tensor(queries)[None].expand(2, -1, -1),
    encoder_hidden_states=norm,
  ).last_hidden_state
  widen = [_random(48, 128, seed=2) / 7, _random(128, 128, seed=3) / 11]
  expected = torch.nn.functional.gelu(hidden @ torch.tensor(widen[0]))
  expected = expected @ torch.tensor(widen[1])
  zeros = np.zeros(128, np.float32)
  params = {
    "norm": {"weight": np.ones(32), "bias": np.zeros(32)},
    "query_tokens": queries,
    "query_norm": _norm(found, "layernorm"),
    "layers": _stacked([layer(0), layer(1)]),
    "proj_0": {"kernel": widen[0], "bias": zeros},
    "proj_2": {"kernel": widen[1], "bias": zeros},
  }
  module = projectors.QueryProjector(_TINY, sizes)

  def run(features, valid):
    return module.apply({"params": params}, features, valid, True)

  _close(jax.jit(run)(features[None], None)[0], expected)
  # Behind its end a unit may hold anything.
  padded = np.concatenate([features, 9 * _random(2, 3, 32)], axis=1)[None]
  valid = np.broadcast_to(np.arange(10) < 7, (1, 2, 10))
  _close(jax.jit(run)(padded, valid)[0], expected)


_SIZES = {
  "vocab_size": 80,
  "hidden_size": 64,
  "intermediate_size": 96,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
}


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_language_model(name):
  kind, heads, theta, epsilon = {
    "llama": ("Llama", 4, 1e4, 1e-5),
    "qwen2": ("Qwen2", 2, 1e6, 1e-6),
  }[name]
  settings = getattr(transformers, f"{kind}Config")(
    **_SIZES,
    num_key_value_heads=heads,
    rms_norm_eps=epsilon,
    rope_parameters={"rope_type": "default", "rope_theta": theta},
  )
  theirs = _shaken(getattr(transformers, f"{kind}Model")(settings))
  with torch.no_grad():
    theirs.embed_tokens.weight *= 0.02  # so that epsilon counts
  found, bias = _leaves(theirs), name == "qwen2"

  def layer(i):
    at = f"layers.{i}"
    attention = {
      n: _linear(found, f"{at}.self_attn.{n}", bias)
      for n in ("q_proj", "k_proj", "v_proj")
    }
    attention["o_proj"] = _linear(found, f"{at}.self_attn.o_proj", False)
    names = ("gate_proj", "up_proj", "down_proj")
    norms = ("input_layernorm", "post_attention_layernorm")
    return {
      "self_attn": attention,
      "mlp": {n: _linear(found, f"{at}.mlp.{n}", False) for n in names},
      **{n: {"weight": found[f"{at}.{n}.weight"]} for n in norms},
    }

  params = {
    "embed_tokens": {"weight": found["embed_tokens.weight"]},
    "layers": _stacked([layer(i) for i in range(2)]),
    "norm": {"weight": found["norm.weight"]},
  }
  sizes = configs.Decoder(
    layers=2,
    width=64,
    heads=4,
    kv_heads=heads,
    head_size=16,
    mlp=96,
    vocabulary=80,
    rope_theta=theta,
    rope_sections=(8, 0, 0),
    norm_epsilon=epsilon,
    qkv_bias=bias,
  )
  model = dataclasses.replace(_TINY, decoder=sizes)
  tokens = np.random.default_rng(0).integers(0, 80, (2, 11)).astype(np.int32)
  count = np.broadcast_to(np.arange(11)[None, :, None], (2, 11, 3))
  batch = {
    "tokens": tokens,
    "positions": count.astype(np.int32),
    "segments": np.ones_like(tokens),
    "source": np.full_like(tokens, -1),
  }
  none = np.zeros((2, 1, 64), np.float32)
  ours, _ = jax.jit(decoder.Decoder(model).apply)(
    {"params": params}, batch, none
  )
  _close(ours, theirs(torch.tensor(tokens)).last_hidden_state)
