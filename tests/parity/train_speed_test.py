"""The two sides that `train_speed` times do the same updates."""

import dataclasses

import jax
import numpy as np
import pytest

from crab_jax import configs
from tests.parity import torch_thinker
from tests.parity import train_speed

_LORA = configs.ILora(rank=4, heads=3, alpha=8.0, dropout=0.0)
_MODEL = dataclasses.replace(torch_thinker.MODEL, adapter=_LORA)
_SUPERVISED = 5
_STEPS = 6


@pytest.mark.slow
def test_the_same_losses_step_by_step(monkeypatch):
  """The learning rate is high, so that the losses move."""
  monkeypatch.setattr(
    train_speed, "OPTIMIZER", configs.Optimizer(peak=3e-3, warmup=0.01)
  )
  # One sample a device: pmap takes all that there are.
  chosen = [
    torch_thinker.sample(i, pairs=1, mel=(120 + 10 * i,))
    for i in range(jax.device_count())
  ]
  thinker = train_speed.adapt(torch_thinker.make(), _LORA)
  batch = train_speed.our_batch(thinker, chosen, _SUPERVISED, _MODEL)
  ours = train_speed.Ours(train_speed.params_of(thinker), batch, _MODEL)
  theirs = train_speed.Torch(thinker, chosen, _SUPERVISED)
  found = [(ours.step(), theirs.step()) for _ in range(_STEPS)]
  for one, other in found:
    np.testing.assert_allclose(one, other, rtol=1e-5)
  assert found[-1][0] < found[0][0] - 0.1
