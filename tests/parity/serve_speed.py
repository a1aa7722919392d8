"""Times the engine of a server against answering one prompt after the other.

  python -m tests.parity.serve_speed [--clients 1 4 16] [--new 100]
    [--slots 16] [--small] [--decode_dtype bfloat16]

The thinker and the prompts of `generate_speed` (744 tokens), greedy, float32.
Every client asks, waits for its answer and asks again, `--rounds` times.
Prints tokens per second with `Generator.stream`, one prompt at a time, and of
the engine with so many clients, and each ratio to the former; then that of
several questions about one clip, with shared keys and values and without.
Compilation is not counted. Beside tokens a second stand those a second of the
processor: on a machine that others use these mean something, and the former do
not. Waiting is in neither, so a ratio of both kinds is right where cores are busy.
"""

import argparse
import dataclasses
import threading
import time

import jax
import numpy as np
from flax import linen as nn

from crab_jax import array_types
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.data import packing
from crab_jax.paradigms import generate
from crab_jax.paradigms import thinker
from crab_jax.serving import engine as engine_lib
from crab_jax.serving import interface
from crab_jax.serving import programs as programs_lib
from tests.parity import generate_speed

_QUESTIONS = 14  # tasks of a clip that take no question of the user's


def _sample(model: configs.Model, seed: int) -> dict:
  """A prompt of ten frames, ten seconds of sound and 160 tokens of text."""
  rng = np.random.default_rng(seed)
  kinds, pairs, chunks = array_types.TokenKind, 5, 5
  runs = (
    (kinds.TEXT, 20),
    (kinds.VISION, pairs * model.vision.unit_tokens),
    (kinds.AUDIO, chunks * model.audio.unit_tokens),
    (kinds.TEXT, 140),
  )
  kinds = np.concatenate([np.full(n, kind, np.uint8) for kind, n in runs])
  size, length = model.vision.frame_size, len(kinds)
  shape = (chunks, model.audio.unit_frames, model.audio.bins)
  return {
    "tokens": rng.integers(0, 180, length).astype(np.int32),
    "labels": np.full(length, -100, np.int32),
    "positions": np.repeat(np.arange(length, dtype=np.int32)[:, None], 3, 1),
    "kinds": kinds,
    "frames": rng.integers(0, 256, (pairs, 2, size, size, 3), np.uint8),
    "mel": rng.standard_normal(shape, np.float32),
    "mel_lengths": np.full(chunks, model.audio.unit_frames, np.int32),
    "task": 0,
    "row": seed,
  }


def _samples(model: configs.Model, count: int) -> list[dict]:
  """Prompts of different clips."""
  return [_sample(model, seed) for seed in range(count)]


class _Clock:
  """Seconds, and those of the processor, since it was made."""

  def __init__(self):
    self._began = time.perf_counter(), time.process_time()

  def speeds(self, tokens: int) -> np.ndarray:
    """Tokens a second, and a second of the processor: float64[2]."""
    now = time.perf_counter(), time.process_time()
    return tokens / (np.array(now) - np.array(self._began))


def _alone(model, params, samples, new: int) -> np.ndarray:
  """Speeds of one prompt after the other."""
  sampling = generate.Sampling(max_new_tokens=new, stop_tokens=())
  run = generate.Generator(model, sampling)
  rows = batch_lib.prompt_rows(1, len(samples[0]["tokens"]), 5, 5)
  layout = packing.Layout(1, rows, model, pad=0)
  batches = [layout.stack([[sample]]) for sample in samples]
  list(run.stream(params, batches[0]))
  clock = _Clock()
  for batch in batches:
    list(run.stream(params, batch))
  return clock.speeds(new * len(batches))


class _Client:
  """Asks, waits, asks again."""

  def __init__(self, engine, samples, decoding, group=None):
    self._ended = threading.Semaphore(0)
    self._engine, self._decoding = engine, decoding
    self._samples, self._group = samples, group

  def _on_event(self, event):
    if isinstance(event, interface.Finished):
      self._ended.release()

  def submit(self, sample):
    self._engine.submit(
      interface.Job(sample, self._on_event, self._decoding, group=self._group)
    )

  def run(self):
    for sample in self._samples:
      self.submit(sample)
      self._ended.acquire()

  def run_together(self):
    """All at once, as the tasks of a clip are asked."""
    for sample in self._samples:
      self.submit(sample)
    for _ in self._samples:
      self._ended.acquire()


def _served(engine, samples, clients: int, new: int) -> np.ndarray:
  """Speeds with so many clients, who share the samples."""
  decoding = interface.Decoding(max_new_tokens=new, ignore_eos=True)
  asking = [
    _Client(engine, samples[i::clients], decoding) for i in range(clients)
  ]
  threads = [threading.Thread(target=client.run) for client in asking]
  clock = _Clock()
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return clock.speeds(new * len(samples))


def _questions(sample: dict, count: int) -> list[dict]:
  """Prompts about one clip that differ in their last tokens."""
  rng = np.random.default_rng(0)
  made = []
  for _ in range(count):
    tokens = sample["tokens"].copy()
    tokens[-20:] = rng.integers(0, 180, 20)
    made.append(dict(sample, tokens=tokens))
  return made


def _engine(model, params, flags, prefix_bytes: int) -> engine_lib.Engine:
  settings = configs.Slots(
    slots=flags.slots,
    prompt_tokens=768,
    new_tokens=flags.new,
    text_tokens=1024,  # one shape
    suffix_tokens=144,  # behind the media are 140
    prefix_bytes=prefix_bytes,
    decode_dtype=flags.decode_dtype,
  )
  made = engine_lib.Engine(
    programs_lib.Programs(model, params, (-1,), settings)
  )
  made.start()
  while not made.ready:
    time.sleep(0.1)
  return made


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
  parser.add_argument("--new", type=int, default=100)
  parser.add_argument("--slots", type=int, default=16)
  parser.add_argument("--rounds", type=int, default=2)
  parser.add_argument("--small", action="store_true", help="2 x 128, not 195 M")
  parser.add_argument("--decode_dtype", choices=["bfloat16", "int8"])
  flags = parser.parse_args()
  model = generate_speed.MODEL
  if flags.small:
    sizes = dataclasses.replace(
      model.decoder, layers=2, width=128, mlp=256, vocabulary=2048
    )
    model = dataclasses.replace(model, decoder=sizes)
  init = jax.jit(thinker.init, static_argnums=1)
  params = nn.meta.unbox(init(jax.random.key(0), model))
  alone = _alone(model, params, _samples(model, flags.rounds), flags.new)
  _say("one prompt after the other", alone, alone)
  engine = _engine(model, params, flags, prefix_bytes=0)
  for clients in flags.clients:
    samples = _samples(model, flags.rounds * clients)
    before = engine.stats()
    speeds = _served(engine, samples, clients, flags.new)
    _say(f"{clients} clients", speeds, alone)
    now = engine.stats()
    busy = now.slot_seconds - before.slot_seconds
    busy /= now.decode_seconds - before.decode_seconds
    print(f"  rows decoded at a time: {busy:.1f}", flush=True)
  engine.stop(0)
  questions = _questions(_sample(model, 0), _QUESTIONS)
  found = {}
  for name, size in (("one by one", 0), ("together", 1 << 30)):
    engine = _engine(model, params, flags, prefix_bytes=size)
    decoding = interface.Decoding(max_new_tokens=flags.new, ignore_eos=True)
    client = _Client(engine, questions, decoding, group="clip")
    clock = _Clock()
    (client.run_together if size else client.run)()
    found[name] = clock.speeds(flags.new * _QUESTIONS)
    engine.stop(0)
    _say(
      f"{_QUESTIONS} questions about one clip, {name}",
      found[name],
      found["one by one"],
    )


def _say(name: str, speeds: np.ndarray, base: np.ndarray) -> None:
  ratios = speeds / base
  print(
    f"{name}: {speeds[0]:.1f} tokens/s ({ratios[0]:.2f}),"
    f" {speeds[1]:.1f} a processor second ({ratios[1]:.2f})",
    flush=True,
  )


if __name__ == "__main__":
  main()
