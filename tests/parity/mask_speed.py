"""Times masks against transformers: same weights, pictures and machine.

  python -m tests.parity.mask_speed [--sizes tiny base-plus] [--batch 1]
    [--repeats 3] [--image_size 1024] [--dtype bfloat16]

SAM 2.1 with random weights, ours in `--dtype`, theirs in float32. Prints pictures per second of the encoder
and masks per second of the mask decoder with a box and three points, for both,
their ratio, and the largest difference of a logit. transformers attends by torch's
fused kernel ("sdpa"). Compilation is not counted; each figure is the best of
`--repeats` calls, the two sides in turn.
"""

import argparse
import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch

from crab_jax import configs
from crab_jax.models.sam2 import network
from crab_jax.models.sam2 import prompt_encoder
from tests.models.sam2 import torch_sam2

_LABEL = prompt_encoder.Label
_BOX = (100.0, 200.0, 600.0, 700.0)
_POINTS = ((200.0, 300.0), (300.0, 400.0), (500.0, 600.0))


@dataclasses.dataclass(frozen=True)
class Sides:
  """Calls of both sides, and what they compute.

  Attributes:
    ours: name of a part -> its call.
    theirs: the same names.
    difference: the largest one of a logit of all four masks.
  """

  ours: dict[str, Callable[[], Any]]
  theirs: dict[str, Callable[[], Any]]
  difference: float


def sides(config: configs.Sam2, batch: int) -> Sides:
  """Both models with the same random weights, compiled.

  Args:
    config: the shapes.
    batch: pictures a call, one prompt each.
  """
  model = torch_sam2.build(config, attention="sdpa")
  params = jax.device_put(torch_sam2.parameters(config, model))
  size, scale = config.image_size, config.image_size / 1024
  generator = torch.Generator().manual_seed(0)
  pixels = torch.randn(batch, 3, size, size, generator=generator)
  theirs = _their_calls(model, pixels, scale)
  ours = _our_calls(config, params, pixels, scale)
  found = np.asarray(ours["decode"]().masks)
  wanted = theirs["decode"]().pred_masks[:, 0].numpy()
  return Sides(ours, theirs, float(np.abs(found[:, 1:] - wanted).max()))


def _their_calls(model, pixels, scale) -> dict[str, Callable]:
  batch = len(pixels)
  points = torch.tensor([[_POINTS]]).repeat(batch, 1, 1, 1) * scale
  boxes = torch.tensor([[_BOX]]).repeat(batch, 1, 1) * scale
  with torch.no_grad():
    encoded = model.get_image_embeddings(pixels)

  def encode():
    with torch.no_grad():
      return model.get_image_embeddings(pixels)

  def decode():
    with torch.no_grad():
      return model(
        image_embeddings=encoded,
        input_points=points,
        input_labels=torch.ones(batch, 1, len(_POINTS), dtype=torch.int32),
        input_boxes=boxes,
        multimask_output=True,
      )

  return {"encode": encode, "decode": decode}


def _our_calls(config, params, pixels, scale) -> dict[str, Callable]:
  batch = len(pixels)
  images = jax.device_put(pixels.permute(0, 2, 3, 1).numpy())
  places = [_BOX[:2], _BOX[2:], *_POINTS, (0.0, 0.0)]
  labels = [_LABEL.TOP_LEFT, _LABEL.BOTTOM_RIGHT]
  labels += [_LABEL.INSIDE] * len(_POINTS) + [_LABEL.PADDING]
  prompt = network.Prompt(
    np.tile(np.array(places, np.float32) * np.float32(scale), (batch, 1, 1)),
    np.tile(np.array(labels, np.int32), (batch, 1)),
    np.ones((batch, len(labels)), bool),
  )
  run_encode = jax.jit(functools.partial(network.encode, config))
  run_decode = jax.jit(functools.partial(network.decode, config))
  encoded = run_encode(params, images)

  def encode():
    return jax.block_until_ready(run_encode(params, images))

  def decode():
    return jax.block_until_ready(run_decode(params, encoded, prompt))

  return {"encode": encode, "decode": decode}


def best(calls: tuple[Callable, ...], repeats: int) -> list[float]:
  """Seconds of the fastest call of each, called in turn."""
  seconds = [float("inf")] * len(calls)
  for _ in range(repeats):
    for index, call in enumerate(calls):
      start = time.perf_counter()
      call()
      seconds[index] = min(seconds[index], time.perf_counter() - start)
  return seconds


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--sizes", nargs="+", default=["tiny", "base-plus"])
  parser.add_argument("--batch", type=int, default=1)
  parser.add_argument("--repeats", type=int, default=3)
  parser.add_argument("--image_size", type=int, default=1024)
  parser.add_argument("--dtype", default="float32", help="of our encoder")
  args = parser.parse_args()
  for name in args.sizes:
    config = torch_sam2.at(configs.SAM2_SIZES[name], args.image_size)
    config = dataclasses.replace(config, encoder_dtype=args.dtype)
    both = sides(config, args.batch)
    for part in both.ours:
      seconds = best((both.ours[part], both.theirs[part]), args.repeats)
      ours, theirs = (args.batch / x for x in seconds)
      print(
        f"{name} {part}: {ours:.3f}/s, transformers {theirs:.3f}/s,"
        f" ratio {ours / theirs:.2f}",
        flush=True,
      )
    print(f"{name}: largest difference of a logit {both.difference:.1e}")


if __name__ == "__main__":
  main()
