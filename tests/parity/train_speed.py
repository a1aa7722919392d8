r"""Times a training step against torch: same weights, batch and machine.

  python -m tests.parity.train_speed [--batch 4] [--steps 3] [--rounds 2] \
    [--dropout 0.1] [--pages both]

Torch runs the way of the official implementation: the thinker of transformers,
I-LoRA as a loop over its heads in every adapted projection, samples padded to
a batch, the loss over logits of every position, AdamW on the adapter. It is
spared what makes it slower without being part of the method: no gradient
checkpointing, fused attention ("sdpa"). Ours is the step of the trainer.

A thinker of 209 M parameters (decoder 8 x 512, vocabulary 152064, towers of
4 x 256), I-LoRA of rank 64 with 3 heads, samples of 10 frames at 224, 10 s of
sound and 170 tokens of text, of which 60 are supervised (744 tokens), float32.
The sides take turns, a process for each turn, so that a machine that grows slow
slows both. Prints every turn's seconds a step (the median) and its losses, which
are equal where --dropout=0; then samples a second over all steps, and the ratio.
Ours is started as `crab_jax.train` starts itself, with its memory in large pages
(`training.huge_pages`), torch as it comes; --pages=both gives them to torch as
well.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time

import flax.traverse_util
import jax
import numpy as np
import torch

from crab_jax import configs
from crab_jax.training import huge_pages
from crab_jax.training import losses
from crab_jax.training import optim
from crab_jax.training import pmapped
from crab_jax.training import state as state_lib
from tests.parity import generate_speed
from tests.parity import torch_thinker

OPTIMIZER = configs.Optimizer()
_SCHEDULED = 100  # steps of the schedule; the first of them are run


class HeadLoopLinear(torch.nn.Module):
  """A frozen projection with I-LoRA, one product a head."""

  def __init__(self, linear: torch.nn.Linear, lora: configs.ILora):
    super().__init__()
    self.linear, self.scale, self.dropout = linear, lora.scale, lora.dropout
    width, features = linear.in_features, linear.out_features

    def random(*shape):
      return torch.nn.Parameter(torch.randn(shape) * 0.3 * shape[-2] ** -0.5)

    self.lora_A = random(width, lora.rank)
    self.lora_B = torch.nn.ParameterList(
      random(lora.rank, features) for _ in range(lora.heads)
    )
    self.lora_route = random(width, lora.heads)

  def forward(self, x):
    y = self.linear(x)
    gates = torch.softmax(x @ self.lora_route, -1, dtype=torch.float32)
    code = torch.nn.functional.dropout(x, self.dropout, self.training)
    code = code @ self.lora_A
    for head, up in enumerate(self.lora_B):
      y = y + self.scale * (gates[..., head, None].to(y.dtype) * (code @ up))
    return y


def adapt(thinker, lora: configs.ILora, seed: int = 5):
  """Freezes a thinker and puts I-LoRA into all that the method adapts."""
  torch.manual_seed(seed)
  for parameter in thinker.parameters():
    parameter.requires_grad_(False)
  for module in list(thinker.modules()):
    for name, child in list(module.named_children()):
      if name in torch_thinker.TARGETS:
        setattr(module, name, HeadLoopLinear(child, lora))
  return thinker


def params_of(thinker) -> dict:
  """Base and adapter as our tree; the heads of B stacked as ours are."""
  flat = flax.traverse_util.flatten_dict(
    torch_thinker.params_of(thinker), sep="/"
  )
  layers: dict[str, list[np.ndarray]] = {}
  for name, module in thinker.named_modules():
    if isinstance(module, HeadLoopLinear):
      name = torch_thinker.names.canonical(name + ".lora_A")
      path = "/".join(p for p in name.split(".")[:-1] if not p.isdigit())
      heads = torch.stack(list(module.lora_B))
      for leaf, tensor in (
        ("lora_A", module.lora_A),
        ("lora_B", heads),
        ("lora_route", module.lora_route),
      ):
        layers.setdefault(f"{path}/{leaf}", []).append(tensor.detach().numpy())
  flat |= {path: np.stack(parts) for path, parts in layers.items()}
  return flax.traverse_util.unflatten_dict(flat, sep="/")


class Torch:
  """The official way."""

  def __init__(self, thinker, chosen: list, supervised: int):
    self.thinker = thinker.train()
    self.feed(chosen, supervised)
    self.trained = [p for p in thinker.parameters() if p.requires_grad]
    self.optimizer = torch.optim.AdamW(
      self.trained,
      betas=(OPTIMIZER.b1, OPTIMIZER.b2),
      eps=OPTIMIZER.eps,
      weight_decay=OPTIMIZER.weight_decay,
    )
    self.schedule = optim.schedule(OPTIMIZER, _SCHEDULED)
    self.step_number = 0

  def feed(self, chosen: list, supervised: int) -> None:
    """Takes the samples of the next steps."""
    self.inputs = torch_thinker.torch_inputs(chosen)
    labels = torch.full_like(self.inputs["input_ids"], -100)
    for row, sample in enumerate(chosen):
      end = len(sample.tokens)
      own = slice(end - supervised, end)
      labels[row, own] = self.inputs["input_ids"][row, own]
    self.inputs["labels"] = labels

  def step(self) -> float:
    """One update; returns the loss before it."""
    for group in self.optimizer.param_groups:
      group["lr"] = float(self.schedule(self.step_number))
    self.step_number += 1
    # To zero and not None: AdamW goes on moving an adapter of the vision tower
    # where a batch has no video, and would leave out one without a gradient.
    self.optimizer.zero_grad(set_to_none=False)
    loss = self.thinker(**self.inputs).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(self.trained, OPTIMIZER.clip)
    self.optimizer.step()
    return float(loss.detach())


def our_batch(
  thinker, chosen: list, supervised: int, model, extra: int = 0
) -> dict:
  """The same samples, one a row, as `crab_jax.batch` has them."""
  batch = torch_thinker.batch_of(thinker, [[s] for s in chosen], model, extra)
  count = len(chosen)
  ends = np.array([len(sample.tokens) for sample in chosen])[:, None]
  places = ends - 1 - supervised + np.arange(supervised)[None]
  tokens = np.stack(
    [s.tokens[p + 1] for s, p in zip(chosen, places, strict=True)]
  )
  batch["supervised"] = places.astype(np.int32)
  batch["labels"] = tokens.astype(np.int32)
  batch["weights"] = np.ones((count, supervised), np.float32)
  batch["tasks"] = np.zeros_like(batch["segments"])
  batch["sample_ids"] = np.zeros((count, 1, 2), np.int32)
  return batch


class Ours:
  """The step of the trainer, on one device."""

  def __init__(self, params: dict, batch: dict, model: configs.Model):
    optimizer = optim.optimizer(OPTIMIZER, _SCHEDULED)
    self.runner = pmapped.PmapRunner(
      batch["tokens"].shape[0],
      1,
      likelihood=losses.likelihood(model),
      optimizer=optimizer,
      tasks=1,
    )
    trained, frozen = state_lib.split(params, "adapter")
    state = state_lib.create(trained, optimizer)
    self.state, self.frozen = map(self.runner.shard, (state, frozen))
    self.batch, self.key = self.runner.shard_batch(batch), jax.random.key(0)

  def step(self) -> float:
    """One update; returns the loss before it."""
    self.state, sums = self.runner.step(
      self.state, self.frozen, self.batch, self.key
    )
    jax.block_until_ready(self.state)
    return float(np.ravel(sums["loss"])[0])


def timed(step, count: int) -> tuple[list[float], list[float]]:
  """Seconds of `count` steps after one that warms up, and all the losses."""
  found, seconds = [step()], []
  for _ in range(count):
    start = time.perf_counter()
    found.append(step())
    seconds.append(time.perf_counter() - start)
  return seconds, found


def measured(flags) -> tuple[list[float], list[float], str]:
  """Seconds of the steps and the losses of one side, and what was timed."""
  lora = configs.ILora(rank=64, heads=3, alpha=128.0, dropout=flags.dropout)
  model = dataclasses.replace(
    generate_speed.MODEL, adapter=lora, remat="none", logit_chunk=256
  )
  thinker = adapt(torch_thinker.make(model, attention="sdpa"), lora)
  chosen = generate_speed.prompts(flags.batch)
  if flags.side == "torch":
    side = Torch(thinker, chosen, flags.supervised)
  else:
    batch = our_batch(thinker, chosen, flags.supervised, model)
    side = Ours(params_of(thinker), batch, model)
  trained = sum(p.numel() for p in thinker.parameters() if p.requires_grad)
  what = (
    f"{len(chosen[0].tokens)} tokens a sample, batch {flags.batch},"
    f" {trained / 1e6:.1f} M adapter parameters; {os.cpu_count()} cores, torch"
    f" {torch.get_num_threads()} threads"
  )
  return *timed(side.step, flags.steps), what


def apart(side: str, pages: str):
  """`measured` in a process of its own, its memory in large pages or not."""
  environment = {**os.environ}
  environment.pop(huge_pages.VARIABLE, None)
  if side == "crab_jax" or pages == "both":
    environment[huge_pages.VARIABLE] = huge_pages.WANTED
  command = [sys.executable, *sys.argv, f"--side={side}"]
  done = subprocess.run(
    command, env=environment, stdout=subprocess.PIPE, text=True, check=True
  )
  return json.loads(done.stdout.splitlines()[-1])


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--batch", type=int, default=4)
  parser.add_argument("--steps", type=int, default=3)
  parser.add_argument("--rounds", type=int, default=2)
  parser.add_argument("--dropout", type=float, default=0.1)
  parser.add_argument("--supervised", type=int, default=60)
  parser.add_argument("--pages", choices=("ours", "both"), default="ours")
  parser.add_argument("--side", choices=("torch", "crab_jax"))
  flags = parser.parse_args()
  if flags.side:
    print(json.dumps(measured(flags)))
    return
  sides = ("torch", "crab_jax")
  seconds: dict[str, list[float]] = {side: [] for side in sides}
  for side in sides * flags.rounds:
    found, trail, what = apart(side, flags.pages)
    if not any(seconds.values()):
      print(what)
    seconds[side] += found
    print(
      f"{side:9} {statistics.median(found):7.2f} s a step; losses"
      f" {' '.join(f'{loss:.4f}' for loss in trail)}",
      flush=True,
    )
  theirs, ours = (
    flags.batch / statistics.median(seconds[side]) for side in sides
  )
  print(f"{theirs:.3f} and {ours:.3f} samples/s, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
  main()
