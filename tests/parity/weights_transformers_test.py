"""Weights through the door give transformers' numbers, and the other way.

A random thinker of transformers, saved by itself, is converted; an adapter
exported by us is loaded into a torch module tree wrapped as the official code
wraps it. The same batch of video, sound and text must give the same logits.
"""

import dataclasses

import flax.linen
import flax.traverse_util
import jax
import numpy as np
import pytest
import torch
import transformers
from torch import nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.experiment import conversion
from crab_jax.models import ilora
from crab_jax.paradigms import thinker
from crab_jax.training import model_folder
from crab_jax.weights import adapter
from crab_jax.weights import torch_file

TOLERANCE = 1e-4  # of logits of magnitude 3, float32
_AUDIO, _IMAGE, _VIDEO = 190, 191, 192
_FRAMES = 337  # mel frames: a chunk of 200 and one of 137
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


@pytest.fixture(scope="module")
def reference():
  """A thinker with random weights, biases and norms included."""
  torch.manual_seed(0)
  config = transformers.Qwen2_5OmniThinkerConfig(
    audio_config={
      "num_mel_bins": 16,
      "encoder_layers": 2,
      "d_model": 64,
      "encoder_attention_heads": 4,
      "encoder_ffn_dim": 96,
      "output_dim": 96,
    },
    vision_config={
      "depth": 4,
      "hidden_size": 64,
      "num_heads": 4,
      "intermediate_size": 80,
      "out_hidden_size": 96,
      "fullatt_block_indexes": [1, 3],
    },
    text_config={
      "num_hidden_layers": 3,
      "hidden_size": 96,
      "num_attention_heads": 6,
      "num_key_value_heads": 2,
      "intermediate_size": 112,
      "vocab_size": 200,
      "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e6,
        "mrope_section": [2, 3, 3],
      },
    },
    audio_token_index=_AUDIO,
    image_token_index=_IMAGE,
    video_token_index=_VIDEO,
  )
  model = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      if parameter.ndim == 1:
        parameter.normal_(1.0 if "norm" in name else 0.0, 0.2)
      else:
        parameter.normal_(0, parameter[0].numel() ** -0.5)
  return model.eval()


@pytest.fixture(scope="module")
def folder(reference, tmp_path_factory):
  """The converted thinker, from several shards."""
  place = tmp_path_factory.mktemp("weights")
  reference.save_pretrained(place / "hf", max_shard_size="300KB")
  assert len(list((place / "hf").glob("*.safetensors"))) > 2
  conversion.convert_base(str(place / "hf"), place / "base")
  return place / "base"


@pytest.fixture(scope="module")
def clip():
  """Two frames, a sound, and where their tokens stand among the text."""
  rng = np.random.default_rng(0)
  seen, heard = 64, 84
  kinds = np.repeat([0, 2, 0, 1, 0], [7, seen, 3, heard, 6])
  tokens = np.where(kinds == 2, _VIDEO, _AUDIO)
  text = rng.integers(0, 180, len(kinds))
  steps = rng.integers(0, 2, (len(kinds), 3))
  return {
    "frames": rng.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8),
    "mel": rng.standard_normal((_FRAMES, 16)).astype(np.float32),
    "tokens": np.where(kinds == 0, text, tokens),
    "kinds": kinds,
    "positions": np.cumsum(steps, axis=0),
  }


def _rows(frames):
  """Patch rows of a frame pair as the image processor gives them."""
  x = (frames.astype(np.float32) / 255 - _MEAN) / _STD
  x = x.transpose(0, 3, 1, 2).reshape(1, 2, 3, 8, 2, 14, 8, 2, 14)
  return x.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(256, 1176)


def _theirs(model, clip):
  with torch.no_grad():
    return (
      model(
        input_ids=torch.tensor(clip["tokens"])[None],
        pixel_values_videos=torch.tensor(_rows(clip["frames"])),
        video_grid_thw=torch.tensor([[1, 16, 16]]),
        input_features=torch.tensor(clip["mel"].T[None]),
        feature_attention_mask=torch.ones(1, _FRAMES, dtype=torch.long),
        attention_mask=torch.ones(1, len(clip["tokens"]), dtype=torch.long),
        position_ids=torch.tensor(clip["positions"].T[:, None]),
      )
      .logits[0]
      .numpy()
    )


def _ours(params, config, clip):
  count = len(clip["tokens"])
  batch = batch_lib.empty(config, configs.Rows(1, count, 1, 2))
  mel = np.zeros((2, 200, 16), np.float32)
  mel.reshape(400, 16)[:_FRAMES] = clip["mel"]
  source = np.full(count, -1)
  source[clip["kinds"] == 2] = np.arange(64)
  source[clip["kinds"] == 1] = 64 + np.arange(84)  # 50 of the first chunk
  batch |= {
    "tokens": clip["tokens"][None].astype(np.int32),
    "segments": np.ones((1, count), np.int32),
    "positions": clip["positions"][None].astype(np.int32),
    "source": source[None].astype(np.int32),
    "frames": clip["frames"][None, None],
    "mel": mel[None],
    "mel_lengths": np.array([[200, 137]], np.int32),
  }
  model = thinker.Thinker(config)
  run = jax.jit(lambda p, b: model.apply({"params": p}, b, method="logits"))
  return np.asarray(run(params, batch)[0])


def test_converted_base_gives_the_same_logits(reference, folder, clip):
  config = model_folder.load_config(folder)
  assert config.param_dtype == "float32"
  found = _ours(model_folder.load_params(folder), config, clip)
  expected = _theirs(reference, clip)
  assert 1 < np.abs(expected).max() < 30
  assert np.abs(found - expected).max() < TOLERANCE


class _ILoraLinear(nn.Module):
  """y = x W + b + 2 sum_e softmax(x R)_e (x A) B_e, as the equation reads."""

  def __init__(self, linear, rank, heads):
    super().__init__()
    self.weight, self.bias = linear.weight, linear.bias
    inputs, outputs = linear.in_features, linear.out_features
    self.lora_route = nn.Linear(inputs, heads, bias=False)
    self.lora_A = nn.Linear(inputs, rank, bias=False)
    for head in range(heads):
      setattr(self, f"lora_B{head}", nn.Linear(rank, outputs, bias=False))
    self.heads = heads

  def forward(self, x):
    y = nn.functional.linear(x, self.weight, self.bias)
    gates = torch.softmax(self.lora_route(x), -1)
    code = self.lora_A(x)
    for head in range(self.heads):
      made = getattr(self, f"lora_B{head}")(code)
      y = y + 2.0 * gates[..., head, None] * made
    return y


def _wrap(model, rank, heads):
  """The thinker's modules under the names of the official wrapped tree."""
  targets = {"q_proj", "k_proj", "v_proj", "o_proj"}
  targets |= {"gate_proj", "up_proj", "down_proj"}
  for module in list(model.modules()):
    for name, child in list(module.named_children()):
      if name in targets:
        setattr(module, name, _ILoraLinear(child, rank, heads))
  tree = nn.Module()
  tree.audio_tower = model.model.audio_tower
  tree.visual = model.model.visual
  tree.model = model.model.language_model
  tree.lm_head = model.lm_head
  wrapped = nn.Module()
  wrapped.base_model = nn.Module()
  wrapped.base_model.model = tree
  return wrapped


def test_exported_adapter_fits_the_wrapped_tree(
  reference, folder, clip, tmp_path
):
  lora = configs.ILora(rank=4, heads=3, alpha=8.0)
  base = model_folder.load_config(folder)
  config = dataclasses.replace(base, adapter=lora)
  params = model_folder.load_params(folder)
  tuned = _with_adapter(params, config)
  adapter.save(tmp_path / "ours", tuned, lora, adapter.fingerprint(params))
  conversion.export_adapter(tmp_path / "ours", tmp_path / "w.bin", None)

  state = torch.load(tmp_path / "w.bin", weights_only=True)
  copied = transformers.Qwen2_5OmniThinkerForConditionalGeneration(
    reference.config
  ).eval()
  copied.load_state_dict(reference.state_dict())
  wrapped = _wrap(copied, 4, 3)
  keys = [key for key in wrapped.state_dict() if "lora_" in key]
  assert list(state) == keys  # the names and their order
  frozen = {
    key: value
    for key, value in wrapped.state_dict().items()
    if key not in state
  }
  wrapped.load_state_dict({**frozen, **state}, strict=True)
  expected = _theirs(copied, clip)
  found = _ours(tuned, config, clip)
  assert np.abs(expected - _theirs(reference, clip)).max() > 0.5
  assert np.abs(found - expected).max() < TOLERANCE

  # And the other way: what torch saves, we read.
  torch.save({k: wrapped.state_dict()[k] for k in keys}, tmp_path / "t.bin")
  again, _ = adapter.load(tmp_path / "ours", base, params)
  conversion.import_adapter(tmp_path / "t.bin", tmp_path / "t", folder, None)
  back, _ = adapter.load(tmp_path / "t", base)
  assert ilora.leaves(back).keys() == ilora.leaves(again).keys()
  for path, leaf in ilora.leaves(again).items():
    assert ilora.leaves(back)[path].tobytes() == leaf.tobytes(), path
  assert torch_file.read(tmp_path / "t.bin").keys() == state.keys()


def _with_adapter(params, config):
  """The base with a random adapter whose effect is plain to see.

  Not as large as the base's own: that network is so ill-conditioned that
  torch's float32 is 4e-4 away from its float64.
  """
  shapes = ilora.leaves(flax.linen.meta.unbox(thinker.abstract(config)))
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  rng = np.random.default_rng(3)
  for path, leaf in shapes.items():
    scale = leaf.shape[-2] ** -0.5
    if path.endswith("lora_B"):
      scale *= 0.3
    flat[path] = rng.normal(0, scale, leaf.shape).astype(np.float32)
  return flax.traverse_util.unflatten_dict(flat, sep="/")
