"""The routers' numbers in the log of a run."""

import json

import numpy as np
import pytest

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.array_types import TokenKind
from crab_jax.routers import monitor
from tests.models import random_parameters


def _model(**adapter):
  return configs.tiny(adapter=configs.ILora(rank=2, dropout=0.0, **adapter))


@pytest.mark.parametrize(
  "model",
  [configs.tiny(), _model(heads=1), _model(heads=2, router="uniform")],
)
def test_without_a_router_there_is_nothing_to_watch(model):
  assert monitor.of(model, 2) is None


def test_a_fresh_router_is_near_uniform_and_every_tower_is_named():
  model = _model(heads=3)
  batch = batch_lib.empty(model, configs.Rows(1, 12, 1, 1))
  batch["segments"][:] = 1
  batch["tasks"][:] = 1
  batch["mel_lengths"][:] = model.audio.unit_frames
  seen = model.vision.unit_tokens
  batch["source"][0, : seen + 5] = np.arange(seen + 5)
  found = monitor.of(model, 2)(random_parameters.draw(model), batch)
  whole = {name: found.pop(f"router/{name}") for name in ("gates", "entropy")}
  json.dumps(whole, allow_nan=False)
  towers = {name.split("/")[1] for name in found}
  assert towers == {"language model", "vision tower", "audio tower"}
  for tower in towers:
    assert 0.5 < found[f"router/{tower}/entropy"] <= 1
    assert found[f"router/{tower}/dead_heads"] == 0
    assert found[f"router/{tower}/zero"] == 1  # its heads are still zeros
    assert found[f"router/{tower}/cosine"] == 0
  path = "model/layers/self_attn/q_proj"
  gates = np.array(whole["gates"][path], object)
  # Two datasets, then the kinds; the first dataset is not in the batch.
  assert gates.shape == (model.decoder.layers, 2 + len(TokenKind), 3)
  assert np.array(whole["entropy"][path], object).shape == gates.shape[:2]
  assert {*gates[:, 0].ravel()} == {None}
  np.testing.assert_allclose(gates[:, 1].astype(float).sum(-1), 1, atol=2e-4)
