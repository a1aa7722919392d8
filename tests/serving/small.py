"""A model of two layers, prompts for it, and what it answers one by one."""

import dataclasses
import functools

import jax
import numpy as np
from flax import linen as nn

from crab_jax import array_types
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.data import packing
from crab_jax.paradigms import generate
from crab_jax.paradigms import thinker
from crab_jax.serving import programs as programs_lib
from crab_jax.training import generation_sharding

CONFIG = configs.Model(
  audio=configs.AudioTower(
    bins=4, layers=1, width=8, heads=2, mlp=8, unit_frames=8
  ),
  vision=configs.VisionTower(
    frame_size=8,
    patch=2,
    window=8,
    layers=1,
    width=8,
    heads=2,
    mlp=8,
    full_blocks=(),
  ),
  decoder=configs.Decoder(
    layers=2,
    width=16,
    heads=4,
    kv_heads=2,
    head_size=8,
    mlp=16,
    vocabulary=32,
    rope_sections=(2, 1, 1),
    norm_epsilon=0.1,
  ),
  adapter=configs.ILora(rank=2, heads=2, alpha=4.0),
  compute_dtype="float32",
  param_dtype="float32",
  remat="full",
)
STOP = 5
NEW = 8  # tokens of an answer at most
SETTINGS = configs.Slots(
  slots=3,
  prompt_tokens=64,
  new_tokens=NEW,
  text_tokens=64,  # more than there is room for: one shape for all prompts
  suffix_tokens=8,
  prefix_bytes=1 << 20,
  burst=4,
)


@functools.cache
def params() -> array_types.Tree:
  """Logits that are not near a tie, and an adapter that is not zero."""
  init = jax.jit(thinker.init, static_argnums=1)
  tree = nn.meta.unbox(init(jax.random.key(0), CONFIG))
  return jax.tree_util.tree_map_with_path(
    lambda path, x: x + 0.3 if path[-1].key == "lora_B" else 2 * x, tree
  )


def sample(seed: int, clip: int | None = None):
  """A prompt about a clip: text, frames, sound, a question.

  Args:
    seed: of the question; also of the clip, if there is none.
    clip: prompts of the same number begin alike.
  """
  rng = np.random.default_rng(seed if clip is None else clip)
  pairs, chunks = int(rng.integers(1, 3)), int(rng.integers(1, 5))
  kinds = array_types.TokenKind
  runs = [(kinds.TEXT, 3), (kinds.VISION, 4 * pairs), (kinds.AUDIO, 2 * chunks)]
  media = np.repeat(*zip(*runs, strict=True))
  start = rng.integers(0, 32, len(media))
  frames = rng.integers(0, 256, (pairs, 2, 8, 8, 3)).astype(np.uint8)
  mel = rng.standard_normal((chunks, 8, 4)).astype(np.float32)
  rng = np.random.default_rng(1000 + seed)
  question = rng.integers(0, 32, int(rng.integers(1, 8)))
  tokens = np.concatenate([start, question]).astype(np.int32)
  kinds = np.concatenate([media, np.full(len(question), kinds.TEXT)])
  positions = np.repeat(np.arange(len(tokens))[:, None], 3, axis=1)
  positions[len(media) :, 0] += 7  # time runs ahead
  return {
    "tokens": tokens,
    "labels": np.full(len(tokens), -100, np.int32),
    "positions": positions.astype(np.int32),
    "kinds": kinds.astype(np.uint8),
    "frames": frames,
    "mel": mel,
    "mel_lengths": np.full(chunks, 8, np.int32),
    "task": 0,
    "row": seed,
  }


@functools.cache
def programs(devices: int = 1, **changed) -> programs_lib.Programs:
  """Compiled once for all tests.

  Args:
    devices: along which weights and slots lie, as in `serve` on several chips.
    changed: of `SETTINGS`.
  """
  settings = dataclasses.replace(SETTINGS, **changed)
  mesh, chosen = configs.Mesh(strategy="mesh"), jax.devices()[:devices]
  layout = generation_sharding.local(mesh, CONFIG, chosen)
  made = programs_lib.Programs(CONFIG, params(), (STOP,), settings, layout)
  made.warm_up()
  return made


@functools.cache
def _generator():
  sampling = generate.Sampling(max_new_tokens=NEW, stop_tokens=(STOP,))
  return generate.Generator(CONFIG, sampling)


@functools.cache
def answer(seed: int, clip: int | None = None) -> tuple[int, ...]:
  """What `predict` answers: alone, without the stop token."""
  asked = sample(seed, clip)
  rows = configs.Rows(1, 64, frame_pairs=2, chunks=4, supervised=1, samples=1)
  batch = packing.Layout(1, rows, CONFIG, pad=0).stack([[asked]])
  found = _generator()(params(), batch_lib.inputs(batch))
  return tuple(int(t) for t in found.tokens[0, : found.lengths[0]])
