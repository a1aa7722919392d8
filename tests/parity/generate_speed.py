"""Times generation against transformers: same weights, prompts and machine.

  python -m tests.parity.generate_speed [--batch 1 4] [--new 256]
    [--repeats 2]

A thinker of 195 M parameters (decoder 8 x 512, vocabulary 152064, towers of
4 x 256), prompts of 10 frames at 224, 10 s of sound and 170 tokens of text
(744 tokens), greedy, float32. Prints new tokens per second, with the prefill
and without it, for both, their ratio, and whether the tokens are equal.
Compilation is not counted; each figure is the best of `--repeats` runs.
"""

import argparse
import time

import jax
import numpy as np
import torch

from crab_jax import configs
from crab_jax.paradigms import generate
from tests.parity import torch_thinker

MODEL = configs.Model(
  audio=configs.AudioTower(layers=4, width=256, heads=4, mlp=1024),
  vision=configs.VisionTower(
    layers=4, width=256, heads=4, mlp=684, full_blocks=(3,)
  ),
  decoder=configs.Decoder(
    layers=8,
    width=512,
    heads=8,
    kv_heads=2,
    head_size=64,
    mlp=2048,
    vocabulary=152064,
    rope_sections=(8, 12, 12),
  ),
  compute_dtype="float32",
  param_dtype="float32",
  remat="full",
)


def prompts(count: int) -> list[torch_thinker.Sample]:
  """Video, sound and text: 744 tokens each."""
  return [
    torch_thinker.sample(
      i, model=MODEL, pairs=5, mel=(1000,), text=(20, 10, 140)
    )
    for i in range(count)
  ]


def best(run, repeats: int) -> tuple[float, object]:
  """Seconds of the fastest of `repeats` calls, and a result."""
  seconds = []
  for _ in range(repeats):
    start = time.perf_counter()
    result = run()
    seconds.append(time.perf_counter() - start)
  return min(seconds), result


def time_torch(reference, inputs, new: int, repeats: int):
  """(seconds with 1 token, seconds with `new`, tokens)."""

  def run(count):
    reference.model.rope_deltas = None
    with torch.no_grad():
      return reference.generate(
        **inputs,
        do_sample=False,
        min_new_tokens=count,
        max_new_tokens=count,
        eos_token_id=None,
        pad_token_id=0,
      )

  first, _ = best(lambda: run(1), repeats)
  whole, tokens = best(lambda: run(new), repeats)
  return first, whole, tokens[:, -new:].numpy()


def time_ours(params, batch, new: int, repeats: int):
  """The same, of ours; compiled before."""
  times = []
  for count in (1, new):
    sampling = generate.Sampling(max_new_tokens=count, stop_tokens=())
    run = generate.Generator(MODEL, sampling)

    def call(run=run):
      return np.asarray(run(params, batch).tokens)

    call()
    seconds, tokens = best(call, repeats)
    times.append(seconds)
  return *times, tokens


def report(name: str, first: float, whole: float, rows: int, new: int):
  """Prints a line; returns tokens per second with and without prefill."""
  speeds = rows * new / whole, rows * (new - 1) / (whole - first)
  print(
    f"{name:13} batch {rows}: {speeds[0]:7.1f} tokens/s with prefill,"
    f" {speeds[1]:7.1f} without; prefill {first:.2f} s",
    flush=True,
  )
  return speeds


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
  parser.add_argument("--new", type=int, default=256)
  parser.add_argument("--repeats", type=int, default=2)
  flags = parser.parse_args()
  reference = torch_thinker.make(MODEL, attention="sdpa")
  params = jax.device_put(torch_thinker.params_of(reference))
  size = sum(x.size for x in jax.tree.leaves(params))
  print(
    f"{size / 1e6:.0f} M parameters, torch {torch.get_num_threads()} threads"
  )
  for rows in flags.batch:
    chosen = prompts(rows)
    inputs = torch_thinker.torch_inputs(chosen, left=True)
    batch = torch_thinker.batch_of(reference, [[s] for s in chosen], MODEL)
    print(f"prompts of {batch['tokens'].shape[1]} tokens")
    theirs = time_torch(reference, inputs, flags.new, flags.repeats)
    slow = report("transformers", *theirs[:2], rows, flags.new)
    ours = time_ours(params, batch, flags.new, flags.repeats)
    fast = report("crab_jax", *ours[:2], rows, flags.new)
    equal = np.mean(theirs[2] == ours[2])
    print(
      f"ratio {fast[0] / slow[0]:.2f} with prefill,"
      f" {fast[1] / slow[1]:.2f} without; {equal:.1%} of the tokens equal"
    )


if __name__ == "__main__":
  main()
