"""A small random thinker of transformers, and the same inputs for both sides.

Shared by the parity tests: `make` builds the torch model, `params_of` renames
its weights through the product's own table, `samples` are conversations of
text, pictures and sound, `torch_inputs` and `batch_of` say the same samples in
the two languages. Positions come from transformers' `get_rope_index`.
"""

import dataclasses

import flax.traverse_util
import numpy as np
import torch
import transformers

from crab_jax import configs
from crab_jax.paradigms.qwen2_5_omni import names

AUDIO, IMAGE, VIDEO = 190, 191, 192  # placeholder ids
SEEN, SEEN_END, HEARD, HEARD_END = 185, 186, 187, 188  # boundary ids
TOLERANCE = 1e-4  # absolute, float32, at magnitude 3
TARGETS = {"q_proj", "k_proj", "v_proj", "o_proj"} | {
  "gate_proj",
  "up_proj",
  "down_proj",
}

MODEL = configs.Model(
  audio=configs.AudioTower(bins=16, layers=2, width=64, heads=4, mlp=96),
  vision=configs.VisionTower(
    frame_size=112,
    window=56,
    layers=4,
    width=64,
    heads=4,
    mlp=80,
    full_blocks=(1, 3),
  ),
  decoder=configs.Decoder(
    layers=3,
    width=96,
    heads=6,
    kv_heads=2,
    head_size=16,
    mlp=112,
    vocabulary=200,
    rope_sections=(2, 3, 3),
  ),
  compute_dtype="float32",
  param_dtype="float32",
  remat="full",  # a scan compiles sooner than unrolled layers
)


def config_of(
  model: configs.Model, attention: str = "eager"
) -> transformers.Qwen2_5OmniThinkerConfig:
  """Our configuration in transformers' words."""
  audio, vision, decoder = model.audio, model.vision, model.decoder
  return transformers.Qwen2_5OmniThinkerConfig(
    audio_config={
      "num_mel_bins": audio.bins,
      "encoder_layers": audio.layers,
      "d_model": audio.width,
      "encoder_attention_heads": audio.heads,
      "encoder_ffn_dim": audio.mlp,
      "n_window": audio.unit_frames // 2,
      "output_dim": decoder.width,
    },
    vision_config={
      "depth": vision.layers,
      "hidden_size": vision.width,
      "num_heads": vision.heads,
      "intermediate_size": vision.mlp,
      "patch_size": vision.patch,
      "window_size": vision.window,
      "out_hidden_size": decoder.width,
      "fullatt_block_indexes": list(vision.full_blocks),
    },
    text_config={
      "num_hidden_layers": decoder.layers,
      "hidden_size": decoder.width,
      "num_attention_heads": decoder.heads,
      "num_key_value_heads": decoder.kv_heads,
      "intermediate_size": decoder.mlp,
      "vocab_size": decoder.vocabulary,
      "rope_parameters": {
        "rope_type": "default",
        "rope_theta": decoder.rope_theta,
        "mrope_section": list(decoder.rope_sections),
      },
    },
    audio_token_index=AUDIO,
    image_token_index=IMAGE,
    video_token_index=VIDEO,
    vision_start_token_id=SEEN,
    audio_start_token_id=HEARD,
    attn_implementation=attention,
  )


def make(model: configs.Model = MODEL, seed: int = 0, attention: str = "eager"):
  """A thinker with random weights, biases and norms included."""
  torch.manual_seed(seed)
  config = config_of(model, attention)
  thinker = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
  with torch.no_grad():
    for name, parameter in thinker.named_parameters():
      if parameter.ndim == 1:
        parameter.normal_(1.0 if "norm" in name else 0.0, 0.2)
      else:
        parameter.normal_(0, parameter[0].numel() ** -0.5)
  return thinker.eval()


def params_of(thinker) -> dict:
  """Its weights as our tree, layers stacked."""
  rows = {row.torch: row for row in names.CHECKPOINT.rows}
  flat: dict[str, dict[int, np.ndarray]] = {}
  for name, tensor in thinker.state_dict().items():
    name = names.canonical(name.replace(".linear.", "."))
    if name is None or "lora_" in name:
      continue
    parts = name.split(".")
    layer = next((int(p) for p in parts if p.isdigit()), 0)
    key = ".".join("{}" if p.isdigit() else p for p in parts)
    row = rows[key] if key in rows else rows[name]
    array = tensor.numpy()
    if row.layout == "patches":
      array = array.reshape(len(array), -1)
    if row.layout != "same":
      array = array.T
    flat.setdefault(row.path, {})[layer if row.stacked else -1] = array
  stacked = {
    tuple(path.split("/")): np.stack([layers[i] for i in sorted(layers)])
    if -1 not in layers
    else np.array(layers[-1])
    for path, layers in flat.items()
  }
  return flax.traverse_util.unflatten_dict(stacked)


class AdaptedLinear(torch.nn.Module):
  """y = x W + b + s sum_e softmax(x R)_e (x A) B_e, in the layout of ours."""

  def __init__(self, linear, lora: configs.ILora):
    super().__init__()
    self.linear, self.lora = linear, lora
    width, features = linear.in_features, linear.out_features

    def random(*shape):
      return torch.nn.Parameter(torch.randn(shape) * shape[-2] ** -0.5)

    self.lora_A = random(width, lora.rank)
    self.lora_B = random(lora.heads, lora.rank, features)
    self.lora_B.data *= 0.3
    if lora.heads > 1:
      self.lora_route = random(width, lora.heads)

  def forward(self, x):
    y = self.linear(x)
    code = x @ self.lora_A
    for head in range(self.lora.heads):
      update = self.lora.alpha / self.lora.rank * (code @ self.lora_B[head])
      if self.lora.heads > 1:
        gates = torch.softmax(x @ self.lora_route, -1)
        update = gates[..., head, None] * update
      y = y + update
    return y


def adapt(thinker, lora: configs.ILora, seed: int = 5):
  """Replaces every projection of a target's name, B not zero.

  B is small enough that torch's own rounding stays below the tolerance: at
  0.3 its float32 logits differ by 4e-6 from its float64 ones, at 1 by 3e-4.
  """
  torch.manual_seed(seed)
  for parameter in thinker.parameters():
    parameter.requires_grad_(False)
  for module in list(thinker.modules()):
    for name, child in list(module.named_children()):
      if name in TARGETS:
        setattr(module, name, AdaptedLinear(child, lora))
  return thinker


def adapter_of(thinker, gradients: bool = False) -> dict[str, np.ndarray]:
  """path -> the adapter's leaf of our tree, stacked, or its gradient."""
  layers: dict[str, list[np.ndarray]] = {}
  for name, parameter in thinker.named_parameters():
    if "lora_" in name:
      name = names.canonical(name)
      path = "/".join(p for p in name.split(".") if not p.isdigit())
      tensor = parameter.grad if gradients else parameter.detach()
      layers.setdefault(path, []).append(tensor.numpy())
  return {path: np.stack(parts) for path, parts in layers.items()}


@dataclasses.dataclass(frozen=True)
class Sample:
  """A conversation: token ids and what its placeholders stand for."""

  tokens: np.ndarray  # int64[t]
  pictures: np.ndarray  # uint8[v, 2, H, W, 3]
  image: bool  # one still picture, not a video
  sounds: tuple[np.ndarray, ...]  # float32[F, M] each


def _audio_tokens(frames: int) -> int:
  return ((frames - 1) // 2 + 1 - 2) // 2 + 1


def sample(seed, model=MODEL, pairs=0, image=False, mel=(), text=(5, 3, 8)):
  """Text, pictures, text, sounds, text: lengths in `text`."""
  rng = np.random.default_rng(seed)

  def words(n):
    return list(rng.integers(0, 180, n))

  size = model.vision.frame_size
  shape = (pairs, 2, size, size, 3)
  pictures = rng.integers(0, 256, shape, dtype=np.uint8)
  if image:
    pictures[:, 1] = pictures[:, 0]
  place = IMAGE if image else VIDEO
  tokens = words(text[0])
  if pairs:
    count = pairs * model.vision.unit_tokens
    tokens += [SEEN] + [place] * count + [SEEN_END]
  sounds = []
  for frames in mel:
    tokens += words(text[1])
    tokens += [HEARD] + [AUDIO] * _audio_tokens(frames) + [HEARD_END]
    noise = rng.standard_normal((frames, model.audio.bins))
    sounds.append(noise.astype(np.float32))
  tokens += words(text[2])
  return Sample(np.array(tokens), pictures, image, tuple(sounds))


def patch_rows(pictures: np.ndarray, patch: int = 14) -> np.ndarray:
  """Rows of the image processor: raster order of merged blocks."""
  mean = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
  std = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
  x = (pictures.astype(np.float32) / 255 - mean) / std
  pairs, _, size = x.shape[:3]
  half = size // patch // 2
  x = x.transpose(0, 1, 4, 2, 3)  # [pairs, frame, channel, y, x]
  x = x.reshape(pairs, 2, 3, half, 2, patch, half, 2, patch)
  x = x.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)
  return x.reshape(pairs * 4 * half * half, -1)


def torch_inputs(chosen: list[Sample], left: bool = False) -> dict:
  """Arguments of the torch model for a batch, padded on one side."""
  longest = max(len(s.tokens) for s in chosen)
  pads = [longest - len(s.tokens) for s in chosen]
  sides = [(pad, 0) if left else (0, pad) for pad in pads]
  ids = [np.pad(s.tokens, side) for s, side in zip(chosen, sides, strict=True)]
  real = [
    np.pad(np.ones_like(s.tokens), side)
    for s, side in zip(chosen, sides, strict=True)
  ]
  inputs = {
    "input_ids": torch.tensor(np.stack(ids)),
    "attention_mask": torch.tensor(np.stack(real)),
  }
  for image, rows, grid in (
    (True, "pixel_values", "image_grid_thw"),
    (False, "pixel_values_videos", "video_grid_thw"),
  ):
    shown = [s for s in chosen if len(s.pictures) and s.image == image]
    if shown:
      inputs[rows] = torch.tensor(
        np.concatenate([patch_rows(s.pictures) for s in shown])
      )
      side = shown[0].pictures.shape[2] // 14
      inputs[grid] = torch.tensor(
        [[len(s.pictures), side, side] for s in shown]
      )
  videos = len(inputs.get("video_grid_thw", ()))
  if videos:
    inputs["video_second_per_grid"] = torch.full((videos,), 2.0)
  sounds = [sound for s in chosen for sound in s.sounds]
  if sounds:
    frames = max(len(x) for x in sounds)
    padded = [np.pad(x, ((0, frames - len(x)), (0, 0))) for x in sounds]
    mask = [np.arange(frames) < len(x) for x in sounds]
    inputs["input_features"] = torch.tensor(np.stack(padded)).swapaxes(1, 2)
    inputs["feature_attention_mask"] = torch.tensor(np.stack(mask)).long()
  return inputs


def positions_of(thinker, chosen: Sample) -> np.ndarray:
  """int32[t, 3] of transformers' own `get_rope_index`."""
  inputs = torch_inputs([chosen])
  lengths = inputs.get("feature_attention_mask")
  found, _ = thinker.model.get_rope_index(
    inputs["input_ids"],
    inputs.get("image_grid_thw"),
    inputs.get("video_grid_thw"),
    inputs["attention_mask"],
    False,
    None if lengths is None else lengths.sum(1),
    inputs.get("video_second_per_grid"),
  )
  return found[:, 0].numpy().T.astype(np.int32)


def batch_of(thinker, rows: list[list[Sample]], model=MODEL, extra=0) -> dict:
  """A batch with the samples of each row packed one after another.

  Args:
    thinker: the torch model, for the positions.
    rows: the samples of each row.
    model: our configuration.
    extra: unused frame pairs, chunks and tokens left in every row.
  """
  tower, frames = model.audio, model.audio.unit_frames

  def chunks(chosen):
    return sum(-(-len(sound) // frames) for sound in chosen.sounds)

  count = len(rows)
  length = max(sum(len(s.tokens) for s in row) for row in rows) + extra
  pairs = max(sum(len(s.pictures) for s in row) for row in rows) + extra
  parts = max(sum(chunks(s) for s in row) for row in rows) + extra
  size = model.vision.frame_size
  batch = {
    "tokens": np.zeros((count, length), np.int32),
    "segments": np.zeros((count, length), np.int32),
    "positions": np.zeros((count, length, 3), np.int32),
    "source": np.full((count, length), -1, np.int32),
    "tasks": np.full((count, length), -1, np.int32),
    "frames": np.zeros((count, pairs, 2, size, size, 3), np.uint8),
    "mel": np.zeros((count, parts, frames, tower.bins), np.float32),
    "mel_lengths": np.zeros((count, parts), np.int32),
  }
  for i, row in enumerate(rows):
    token, pair, part = 0, 0, 0
    for number, chosen in enumerate(row, 1):
      span = slice(token, token + len(chosen.tokens))
      batch["tokens"][i, span] = chosen.tokens
      batch["segments"][i, span] = number
      batch["positions"][i, span] = positions_of(thinker, chosen)
      seen = len(chosen.pictures)
      batch["frames"][i, pair : pair + seen] = chosen.pictures
      source = batch["source"][i, span]
      tokens = model.vision.unit_tokens
      first = pair * tokens
      is_seen = np.isin(chosen.tokens, (IMAGE, VIDEO))
      source[is_seen] = first + np.arange(seen * tokens)
      heard = []
      for sound in chosen.sounds:
        for start in range(0, len(sound), frames):
          piece = sound[start : start + frames]
          batch["mel"][i, part, : len(piece)] = piece
          batch["mel_lengths"][i, part] = len(piece)
          here = ((len(piece) - 1) // 2 + 1) // tower.pool
          heard.append(
            pairs * tokens + part * tower.unit_tokens + np.arange(here)
          )
          part += 1
      if heard:
        source[chosen.tokens == AUDIO] = np.concatenate(heard)
      token, pair = span.stop, pair + seen
  return batch
