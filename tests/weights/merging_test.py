"""What can be merged, and what comes of it."""

import dataclasses

import numpy as np
import pytest

from crab_jax import configs
from crab_jax.weights import merging
from crab_jax.weights import stored

_L, _D, _R, _F = 3, 8, 2, 6


class _Memory:
  """A parameter that is in memory."""

  def __init__(self, value):
    self.value = value
    self.shape, self.dtype = value.shape, value.dtype

  def read(self, *index):
    return self.value[index]


def _adapter(config, zero_route=False, alike=False):
  rng = np.random.default_rng(0)
  shapes = config.shapes(_D, _F)
  found = {
    name: rng.standard_normal((_L, *shape)).astype(np.float32)
    for name, shape in shapes.items()
  }
  if zero_route:
    found["lora_route"] *= 0
  if alike:
    found["lora_B"][:] = found["lora_B"][:, :1]
  return {"model": {"layers": {"mlp": {"up_proj": found}}}}, found


_ONE = configs.ILora(rank=_R, heads=1, alpha=6.0)
_CASES = {
  "one head": (_ONE, {}),
  "uniform": (dataclasses.replace(_ONE, heads=3, router="uniform"), {}),
  "separate A": (
    dataclasses.replace(_ONE, heads=3, router="uniform", shared_a=False),
    {},
  ),
  "router of zeros": (
    dataclasses.replace(_ONE, heads=3),
    {"zero_route": True},
  ),
  "equal heads": (dataclasses.replace(_ONE, heads=3), {"alike": True}),
}


@pytest.mark.parametrize("block", [1, 1 << 20])
@pytest.mark.parametrize("case", _CASES)
def test_the_update_is_in_the_kernel(case, block, monkeypatch):
  monkeypatch.setattr(stored, "BLOCK_BYTES", block)
  config, made = _CASES[case]
  params, leaves = _adapter(config, **made)
  assert merging.obstacle(params, config) is None
  rng = np.random.default_rng(1)
  kernel = rng.standard_normal((_L, _D, _F)).astype(np.float32)
  norm = rng.standard_normal(7).astype(np.float32)
  base = {"model/layers/mlp/up_proj/kernel": kernel, "model/norm/weight": norm}
  merged = merging.leaves(
    {path: _Memory(value) for path, value in base.items()}, params, config
  )
  found = {path: np.zeros_like(value) for path, value in base.items()}
  for path, leaf in merged.items():
    for start, part in leaf.blocks():
      assert start[0] % leaf.chunk[0] == 0
      found[path][start[0] : start[0] + len(part)] = part
  a, b = leaves["lora_A"], leaves["lora_B"]
  if config.shared_a:
    a = np.repeat(a[:, None], config.heads, 1)
  expected = 3.0 * np.einsum("ledr,lerf->ldf", a, b) / config.heads
  np.testing.assert_allclose(
    found["model/layers/mlp/up_proj/kernel"], kernel + expected, atol=1e-5
  )
  np.testing.assert_array_equal(found["model/norm/weight"], norm)


@pytest.mark.parametrize(
  ("change", "made"),
  [
    ({}, {}),
    ({"shared_a": False}, {"alike": True}),
    ({"router": "top1"}, {"alike": True}),
    ({"router": "top1"}, {"zero_route": True}),
    ({"router": "task"}, {"zero_route": True}),
  ],
)
def test_what_routes_is_refused_by_name(change, made):
  config = dataclasses.replace(_ONE, heads=3, **change)
  reason = merging.obstacle(_adapter(config, **made)[0], config)
  assert f'router="{config.router}" weighs 3 heads by the token' in reason
  assert "model/layers/mlp/up_proj" in reason
