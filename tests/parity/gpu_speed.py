r"""Measures one GPU: the 7B's training step beside torch's, and decoding.

  python -m tests.parity.gpu_speed [--out=gpu.json] [--sides ...] [--tiny]

The sides: the step and decoding of crab_jax, and of torch; the step with XLA's
attention and with cuDNN's. Each runs in a process
of its own, as one model at a time fits, with 1, 2, 4, ... samples until memory
runs out; the fastest counts. Weights are random, of the 7B's shape, in bfloat16.
Needs `pip install -e '.[cuda]'`, torch and transformers, and no network.

Both sides train I-LoRA (rank 128, 3 heads) on samples of 744 tokens, as
`train_speed` has them. Torch runs the way of the official implementation: a loop
over the heads, logits of every position, AdamW, gradient checkpointing (here not
re-entrant, so that the towers train as well), fused attention. Ours is the step of
the trainer with one sample a row; packed rows of 2048 tokens are timed besides.
MFU counts the model's FLOPs (`planning.flops`) over the chip's peak.

--tiny: small shapes in float32, on whatever device is there, to see that the
script runs; its figures mean nothing.
"""

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import torch
from flax import linen as nn

from crab_jax import configs
from crab_jax.paradigms import generate
from crab_jax.paradigms import thinker as thinker_lib
from crab_jax.planning import timing
from tests.parity import torch_thinker
from tests.parity import train_speed

SIDES = (
  "torch_step", "step", "step_cudnn", "packed_step", "packed_step_cudnn",
  "torch_decode", "decode",
)  # fmt: skip
_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory")  # what running out says
_PACKED = 2048  # tokens of a row of the recipe


@dataclasses.dataclass(frozen=True)
class Shapes:
  """What is measured.

  Attributes:
    model: with the adapter.
    sample: arguments of `torch_thinker.sample`.
    tokens: of a sample.
    supervised: of them.
    new: tokens that decoding makes.
    batches: samples at a time, until memory runs out.
    steps: that are timed, after one that warms up.
  """

  model: configs.Model
  sample: dict[str, Any]
  tokens: int
  supervised: int
  new: int
  batches: tuple[int, ...]
  steps: int


def shapes(tiny: bool) -> Shapes:
  """The 7B's, or small ones."""
  if tiny:
    lora = configs.ILora(rank=4, heads=3, alpha=8.0, dropout=0.0)
    model = dataclasses.replace(torch_thinker.MODEL, adapter=lora)
    sample = {"pairs": 1, "mel": (120,)}
    return Shapes(model, sample, _length(model, sample), 5, 4, (1,), 1)
  lora = configs.ILora(rank=128, heads=3, alpha=256.0, dropout=0.1)
  model = configs.qwen2_5_omni_7b(adapter=lora, remat="projections")
  sample = {"pairs": 5, "mel": (1000,), "text": (20, 10, 140)}
  batches = tuple(2**n for n in range(9))
  return Shapes(model, sample, _length(model, sample), 60, 256, batches, 5)


def _length(model: configs.Model, sample: dict[str, Any]) -> int:
  return len(torch_thinker.sample(0, model=model, **sample).tokens)


def _samples(shape: Shapes, count: int) -> list[torch_thinker.Sample]:
  return [
    torch_thinker.sample(i, model=shape.model, **shape.sample)
    for i in range(count)
  ]


def _dtype(shape: Shapes) -> torch.dtype:
  return getattr(torch, shape.model.compute_dtype)


def _torch_model(shape: Shapes, device: str):
  """A thinker on the device, its weights made there."""
  before = torch.get_default_dtype()
  torch.set_default_dtype(_dtype(shape))
  try:
    with torch.device(device):
      return torch_thinker.make(shape.model, attention="sdpa")
  finally:
    torch.set_default_dtype(before)


def _on(device: str, inputs: dict, dtype: torch.dtype) -> dict:
  return {
    name: x.to(device, dtype) if x.is_floating_point() else x.to(device)
    for name, x in inputs.items()
  }


def torch_step(shape: Shapes, batch: int, device: str) -> dict[str, Any]:
  """The official way to train."""
  thinker = train_speed.adapt(
    _torch_model(shape, device), shape.model.required_adapter
  ).to(device, _dtype(shape))
  thinker.gradient_checkpointing_enable({"use_reentrant": False})
  side = train_speed.Torch(thinker, _samples(shape, batch), shape.supervised)
  side.inputs = _on(device, side.inputs, _dtype(shape))

  def step() -> float:
    loss = side.step()  # waits for the loss
    if device == "cuda":
      torch.cuda.synchronize()
    return loss

  seconds, losses = train_speed.timed(step, shape.steps)
  return _found(shape, batch, min(seconds), loss=losses[-1])


def step(shape: Shapes, batch: int, device: str) -> dict[str, Any]:
  """Ours, a sample a row."""
  rows = configs.Rows(
    rows=batch,
    tokens=shape.tokens,
    frame_pairs=shape.sample["pairs"],
    chunks=-(-shape.sample["mel"][0] // 200),
    supervised=shape.supervised,
    samples=1,
  )
  return _timed_step(shape, rows, device)


def packed_step(shape: Shapes, batch: int, device: str) -> dict[str, Any]:
  """Ours, rows as the recipe has them."""
  rows = configs.Rows(
    rows=batch,
    tokens=_PACKED,
    frame_pairs=16,
    chunks=24,
    supervised=512,
    samples=24,
  )
  if shape.tokens < 100:  # --tiny
    rows = dataclasses.replace(rows, tokens=128, frame_pairs=2, chunks=4)
  return _timed_step(shape, rows, device)


def step_cudnn(shape: Shapes, batch: int, device: str) -> dict[str, Any]:
  """`step` with cuDNN's attention."""
  return step(_with_cudnn(shape), batch, device)


def packed_step_cudnn(shape: Shapes, batch: int, device: str) -> dict[str, Any]:
  """`packed_step` with cuDNN's attention."""
  return packed_step(_with_cudnn(shape), batch, device)


def _with_cudnn(shape: Shapes) -> Shapes:
  model = dataclasses.replace(
    shape.model, attention="cudnn", compute_dtype="bfloat16"
  )
  return dataclasses.replace(shape, model=model)


def _timed_step(
  shape: Shapes, rows: configs.Rows, device: str
) -> dict[str, Any]:
  del device  # jax's own
  stage = configs.Stage(name="tuning", trains="adapter", steps=100, rows=rows)
  found = timing.measure(
    shape.model, stage, configs.Mesh(), shape.steps, warmup=2
  )
  return {
    "batch": rows.rows,
    "seconds": found.step_seconds,
    "tokens_per_second": found.tokens_per_second,
    "mfu": found.utilisation,
    "peak_gib": found.peak_bytes / 2**30,
    "loss": found.loss,
  }


def torch_decode(shape: Shapes, batch: int, device: str) -> dict[str, Any]:
  """transformers' generate, of the base alone."""
  thinker = _torch_model(shape, device)
  inputs = torch_thinker.torch_inputs(_samples(shape, batch), left=True)
  inputs = _on(device, inputs, _dtype(shape))

  def run() -> None:
    thinker.model.rope_deltas = None
    with torch.no_grad():
      thinker.generate(
        **inputs,
        do_sample=False,
        min_new_tokens=shape.new,
        max_new_tokens=shape.new,
        eos_token_id=None,
        pad_token_id=0,
      )
    if device == "cuda":
      torch.cuda.synchronize()

  return _found(shape, batch, _second_time(run), tokens=shape.new)


def decode(shape: Shapes, batch: int, device: str) -> dict[str, Any]:
  """Ours, of the base alone."""
  del device
  model = dataclasses.replace(shape.model, adapter=None)
  params = jax.jit(lambda key: nn.meta.unbox(thinker_lib.init(key, model)))(
    jax.random.key(0)
  )
  chosen = _samples(shape, batch)
  # It says the positions, for which it needs no weights.
  positions = _torch_model(shape, "meta")
  prompts = torch_thinker.batch_of(positions, [[s] for s in chosen], model)
  sampling = generate.Sampling(max_new_tokens=shape.new, stop_tokens=())
  run = generate.Generator(model, sampling)
  seconds = _second_time(lambda: np.asarray(run(params, prompts).tokens))
  return _found(shape, batch, seconds, tokens=shape.new)


def _second_time(run) -> float:
  """Seconds of a call after one that compiles."""
  run()
  start = time.perf_counter()
  run()
  return time.perf_counter() - start


def _found(
  shape: Shapes, batch: int, seconds: float, tokens: int = 0, **more
) -> dict[str, Any]:
  peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
  return {
    "batch": batch,
    "seconds": seconds,
    "tokens_per_second": batch * (tokens or shape.tokens) / seconds,
    "mfu": None,
    "peak_gib": max(peak, timing.peak_bytes()) / 2**30,
    **more,
  }


_MEASURES = {
  "torch_step": torch_step,
  "step": step,
  "step_cudnn": step_cudnn,
  "packed_step": packed_step,
  "packed_step_cudnn": packed_step_cudnn,
  "torch_decode": torch_decode,
  "decode": decode,
}


def _ran_out(error: Exception) -> bool:
  return any(words in f"{error} {error.__cause__}" for words in _MEMORY)


def run_side(side: str, shape: Shapes) -> Iterator[dict[str, Any]]:
  """What is found of every batch that memory holds."""
  device = "cuda" if torch.cuda.is_available() else "cpu"
  for batch in shape.batches:
    try:
      found = _MEASURES[side](shape, batch, device)
    except Exception as error:  # torch's, jax's and UserError
      if not _ran_out(error):
        raise
      return
    yield found


def apart(side: str, flags: argparse.Namespace) -> list[dict[str, Any]]:
  """What `run_side` finds, in a process of its own unless it is tiny."""
  if flags.tiny:
    return list(run_side(side, shapes(tiny=True)))
  environment = {**os.environ, "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"}
  if side.startswith("torch"):
    environment["JAX_PLATFORMS"] = "cpu"  # jax would take the memory
  command = [sys.executable, "-m", "tests.parity.gpu_speed", f"--side={side}"]
  done = subprocess.run(command, env=environment, stdout=subprocess.PIPE)
  if done.returncode:
    print(f"{side} ended with {done.returncode}", file=sys.stderr)
  lines = done.stdout.decode().splitlines()
  return [json.loads(line) for line in lines if line.startswith("{")]


def hardware() -> dict[str, str]:
  """What was measured on, and when."""
  name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
  return {
    "device": name,
    "date": datetime.date.today().isoformat(),
    "jax": jax.__version__,
    "torch": torch.__version__,
  }


def lines(found: dict[str, list[dict[str, Any]]]) -> list[str]:
  """A table, then the ratios."""
  told = ["side               batch  largest   s        tokens/s      MFU  GiB"]
  best = {}
  for side, rows in found.items():
    if not rows:
      told.append(f"{side:<18} nothing was measured")
      continue
    best[side] = one = max(rows, key=lambda row: row["tokens_per_second"])
    mfu = "-" if one["mfu"] is None else f"{one['mfu']:.1%}"
    told.append(
      f"{side:<18} {one['batch']:5}  {rows[-1]['batch']:7}"
      f"  {one['seconds']:8.4f} {one['tokens_per_second']:10,.0f}  {mfu:>7}"
      f"  {one['peak_gib']:.1f}"
    )
  for ours, theirs in (
    ("step", "torch_step"),
    ("step_cudnn", "torch_step"),
    ("decode", "torch_decode"),
  ):
    if {ours, theirs} <= set(best):
      ratio = (
        best[ours]["tokens_per_second"] / best[theirs]["tokens_per_second"]
      )
      told.append(f"{ours} / {theirs}: {ratio:.2f} in tokens/s")
  return told


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--tiny", action="store_true")
  parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
  parser.add_argument("--out", help="a JSON file to write")
  parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.side:
    for found_here in run_side(flags.side, shapes(flags.tiny)):
      print(json.dumps(found_here), flush=True)
    return 0
  print(", ".join(f"{name} {what}" for name, what in hardware().items()))
  found = {side: apart(side, flags) for side in flags.sides}
  print("\n".join(lines(found)))
  if flags.out:
    with open(flags.out, "w") as file:
      json.dump({**hardware(), "found": found}, file, indent=1)
  return 0 if all(found.values()) else 1


if __name__ == "__main__":
  sys.exit(main())
