"""Router gates along a sequence: those of the routers, token by token."""

import dataclasses

import jax
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.array_types import TokenKind
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.routers import sequence_gates
from tests.data import small_records
from tests.models import random_parameters

_RECORD = small_records.record("s4", 3)
_ANSWER = "I see 3. I hear s4."
_MODEL = dataclasses.replace(
  small_records.MODEL, adapter=configs.ILora(rank=4, heads=3, dropout=0.0)
)


@pytest.fixture(scope="module")
def maker() -> samples.SampleMaker:
  tokenizer = small_records.small_tokenizer([_RECORD])
  return samples.sample_maker(
    tokenizer, small_records.DATA, _MODEL, tasks.Tasks()
  )


@pytest.fixture(scope="module")
def params():
  return random_parameters.draw(_MODEL)


@pytest.fixture(scope="module")
def found(maker, params) -> sequence_gates.Along:
  return sequence_gates.along(_MODEL, params, maker, _RECORD, _ANSWER)


def test_every_token_of_prompt_and_answer_has_its_gates(found, maker):
  record = dataclasses.replace(_RECORD, target=_ANSWER)
  kinds = maker.train(record)["kinds"]
  np.testing.assert_array_equal(found.kinds, kinds)
  assert found.gates.shape == (len(kinds), 3)
  np.testing.assert_allclose(found.gates.sum(1), 1, atol=1e-5)
  assert found.gates.std(0).min() > 1e-4  # tokens differ


def test_the_gates_are_the_mean_over_layers_and_projections(maker, params):
  """Routers this sharp choose: a mean of 4 x 7 choices is a multiple of 1/28."""

  def sharpen(path, leaf):
    return leaf * 1e4 if path[-1].key == "lora_route" else leaf

  sharp = jax.tree_util.tree_map_with_path(sharpen, params)
  found = sequence_gates.along(_MODEL, sharp, maker, _RECORD, _ANSWER)
  counts = found.gates * 28
  assert np.abs(counts - counts.round()).mean() < 0.05


def test_means_by_kind(found):
  means = found.by_kind()
  assert set(means) == {"text", "vision", "audio", "answer"}
  seen = found.gates[found.kinds == TokenKind.VISION]
  np.testing.assert_allclose(means["vision"], seen.mean(0))


@pytest.mark.parametrize(
  ("adapter", "has"),
  [
    (None, False),
    (configs.ILora(heads=1), False),
    (configs.ILora(heads=3, router="uniform"), False),
    (configs.ILora(heads=2), True),
  ],
)
def test_which_adapters_have_a_router(adapter, has):
  model = dataclasses.replace(_MODEL, adapter=adapter)
  assert model.routes is has
