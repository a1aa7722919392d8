"""What bfloat16 costs: ours against that of transformers, both to float32."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import torch

from crab_jax.paradigms import thinker
from tests.parity import torch_thinker

SAMPLES = [
  torch_thinker.sample(1, pairs=2, mel=(337,)),
  torch_thinker.sample(2, pairs=1, image=True, mel=(101,)),
  torch_thinker.sample(3),
]
HALF = dataclasses.replace(
  torch_thinker.MODEL, compute_dtype="bfloat16", param_dtype="bfloat16"
)


def _theirs(reference):
  inputs = torch_thinker.torch_inputs(SAMPLES)
  dtype = next(reference.parameters()).dtype
  for name in ("pixel_values", "pixel_values_videos", "input_features"):
    inputs[name] = inputs[name].to(dtype)
  with torch.no_grad():
    logits = reference(**inputs).logits.float()
  return _of_samples(logits.numpy())


def _of_samples(logits):
  return np.concatenate(
    [row[: len(s.tokens)] for row, s in zip(logits, SAMPLES, strict=True)]
  )


def test_bfloat16_is_as_near_to_float32_as_that_of_transformers():
  """Both round the same weights; errors are those of the products."""
  reference = torch_thinker.make().bfloat16()
  params = torch_thinker.params_of(reference.float())  # rounded weights
  exact = _theirs(reference)
  batch = torch_thinker.batch_of(reference, [[s] for s in SAMPLES])
  half = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params)
  # Without jit every scan and operation would be compiled by itself.
  forward = jax.jit(
    lambda p, b: thinker.Thinker(HALF).apply({"params": p}, b, method="logits")
  )
  ours = forward(half, batch)
  ours = np.abs(_of_samples(np.asarray(ours)) - exact)
  theirs = np.abs(_theirs(reference.bfloat16()) - exact)
  print(
    f"bfloat16 logits at magnitude {np.abs(exact).max():.1f} differ by"
    f" {ours.max():.4f} (mean {ours.mean():.4f});"
    f" transformers' by {theirs.max():.4f} (mean {theirs.mean():.4f})"
  )
  assert ours.mean() < 1.25 * theirs.mean()
  assert ours.max() < 2 * theirs.max()
