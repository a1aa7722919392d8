"""The two sides that `train_speed` times do the same updates."""

import dataclasses

import flax.traverse_util
import jax
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.models import ilora
from tests.parity import torch_thinker
from tests.parity import train_speed

_LORA = configs.ILora(rank=4, heads=3, alpha=8.0, dropout=0.0)
_MODEL = dataclasses.replace(torch_thinker.MODEL, adapter=_LORA)
_SUPERVISED = 5
_STEPS = 20


@pytest.mark.slow
@pytest.mark.parametrize("without_video", [False, True])
def test_the_same_losses_and_weights_step_by_step(monkeypatch, without_video):
  """Twenty updates; every third batch may have no video at all."""
  # A high rate, so that the losses move.
  config = configs.Optimizer(peak=3e-3, warmup=0.01, weight_decay=0.1)
  monkeypatch.setattr(train_speed, "OPTIMIZER", config)
  thinker = train_speed.adapt(torch_thinker.make(), _LORA)
  batches = [_samples(1), _samples(1), _samples(0 if without_video else 1)]
  ours = train_speed.Ours(
    train_speed.params_of(thinker), _batch(thinker, batches[0]), _MODEL
  )
  theirs = train_speed.Torch(thinker, batches[0], _SUPERVISED)
  found = []
  for step in range(_STEPS):
    chosen = batches[step % len(batches)]
    ours.batch = ours.runner.shard_batch(_batch(thinker, chosen))
    theirs.feed(chosen, _SUPERVISED)
    found.append((ours.step(), theirs.step()))
  for one, other in found:
    np.testing.assert_allclose(one, other, rtol=2e-5)
  assert found[-1][0] < found[1][0] - 0.1
  _compare(ours, thinker)


def _samples(pairs):
  """One sample a device: pmap takes all that there are."""
  return [
    torch_thinker.sample(i, pairs=pairs, mel=(120 + 10 * i,))
    for i in range(jax.device_count())
  ]


def _batch(thinker, chosen):
  return train_speed.our_batch(thinker, chosen, _SUPERVISED, _MODEL, extra=1)


def _compare(ours, thinker):
  whole = ours.runner.to_save(ours.state).params
  flat = flax.traverse_util.flatten_dict(whole, sep="/")
  theirs = flax.traverse_util.flatten_dict(
    train_speed.params_of(thinker), sep="/"
  )
  assert {path for path in theirs if ilora.is_leaf(path)} == set(flat)
  for path, leaf in flat.items():
    np.testing.assert_allclose(leaf, theirs[path], atol=5e-5, err_msg=path)
