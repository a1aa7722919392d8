"""Router statistics: what the routers say, by dataset and kind of token."""

import numpy as np
import pytest

from crab_jax import array_types
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.routers import statistics as router_statistics
from tests.models import random_parameters

_TASKS = 3


@pytest.fixture(scope="module")
def found():
  model = configs.tiny(adapter=configs.ILora(rank=2, heads=3, dropout=0.0))
  batch = batch_lib.empty(model, configs.Rows(2, 12, 1, 1))
  rng = np.random.default_rng(0)
  batch["tokens"] = rng.integers(0, 99, (2, 12)).astype(np.int32)
  batch["segments"][:, :10] = 1
  batch["kinds"][:, :10] = array_types.TokenKind.TEXT
  batch["kinds"][:, 6:10] = array_types.TokenKind.ANSWER
  batch["tasks"][0, :10], batch["tasks"][1, :10] = 0, 2
  collector = router_statistics.Collector(model, _TASKS)
  return collector(random_parameters.draw(model), batch)


def test_padding_belongs_to_no_group(found):
  kinds = found.tokens[_TASKS:]
  assert found.tokens[:_TASKS].tolist() == [10, 0, 10]
  assert kinds[array_types.TokenKind.PADDING] == 0
  assert kinds[array_types.TokenKind.ANSWER] == 8


def test_gates_of_a_group_sum_to_one_and_others_are_unknown(found):
  gates = found.gates(3)["model/layers/self_attn/q_proj"]
  assert gates.shape[0] == configs.tiny().decoder.layers
  np.testing.assert_allclose(gates[:, [0, 2]].sum(-1), 1, rtol=1e-6)
  assert np.isnan(gates[:, 1]).all()


def test_entropy_is_a_share(found):
  entropy = found.entropy(3)["model/layers/mlp/up_proj"][:, [0, 2]]
  assert ((entropy > 0) & (entropy <= 1)).all()


def test_the_shares_of_wins_sum_to_one(found):
  wins = found.wins(3)["model/layers/self_attn/q_proj"]
  np.testing.assert_allclose(wins[:, [0, 2]].sum(-1), 1, rtol=1e-6)
  assert np.isnan(wins[:, 1]).all()


def test_sums_add_up(found):
  twice = found + found
  np.testing.assert_array_equal(twice.tokens, 2 * found.tokens)
  left, right = twice.gates(3), found.gates(3)
  for name in right:
    np.testing.assert_allclose(left[name], right[name])
