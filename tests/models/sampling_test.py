"""Sampling against transformers' logits processors."""

import jax
import numpy as np
import pytest
import torch
import transformers

from crab_jax.models import sampling

LOGITS = np.random.default_rng(0).normal(0, 3, (3, 40)).astype(np.float32)


def _theirs(warper, logits=LOGITS, tokens=None):
  tokens = torch.zeros((3, 1), dtype=torch.long) if tokens is None else tokens
  return warper(tokens, torch.tensor(logits)).numpy()


@pytest.mark.parametrize("k", [1, 5, 100])
def test_top_k(k):
  expected = _theirs(transformers.TopKLogitsWarper(k))
  np.testing.assert_array_equal(sampling.keep_top_k(LOGITS, k), expected)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_top_p(p):
  expected = _theirs(transformers.TopPLogitsWarper(p))
  found = sampling.keep_top_p(LOGITS, p)
  np.testing.assert_array_equal(found, expected)
  assert 1 <= np.isfinite(expected[0]).sum() < 40


@pytest.mark.parametrize("p", [1e-6, 0.05, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("values", [1, 2, 5])
def test_top_p_cuts_equal_logits_as_transformers(values, p):
  """Fifty logits of so many different values."""
  rng = np.random.default_rng(values)
  logits = rng.integers(0, values, (3, 50)).astype(np.float32)
  expected = _theirs(transformers.TopPLogitsWarper(p), logits)
  found = sampling.keep_top_p(logits, p)
  # torch's sort is not stable: which of the equal ones stay is its own.
  np.testing.assert_array_equal(
    np.sort(np.asarray(found), axis=-1), np.sort(expected, axis=-1)
  )


def test_repetition_penalty():
  tokens = np.random.default_rng(1).integers(0, 40, (3, 9))
  warper = transformers.RepetitionPenaltyLogitsProcessor(1.7)
  expected = _theirs(warper, tokens=torch.tensor(tokens))
  seen = np.zeros((3, 40), bool)
  np.put_along_axis(seen, tokens, True, axis=1)
  found = sampling.penalise(LOGITS, seen, 1.7)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def _draw(options, count=400):
  chosen = sampling.Sampling(**options)
  draw = jax.vmap(lambda key: sampling.next_token(LOGITS, None, key, chosen))
  return np.asarray(draw(jax.random.split(jax.random.key(0), count)))


def test_greedy_takes_the_largest():
  found = _draw({"temperature": 0.0}, 1)[0]
  np.testing.assert_array_equal(found, LOGITS.argmax(-1))


def test_the_first_of_equals_is_the_largest():
  logits = np.array([[-np.inf, 2, 1, 2], [3, 3, 3, 3]], np.float32)
  np.testing.assert_array_equal(sampling.largest(logits), [1, 0])


@pytest.mark.parametrize("count", [1, 2, 7, 1024, 2053, 3072])
def test_the_largest_of_columns_is_that_of_rows(count):
  """Of few values, so that several are the largest; 2053 is a prime."""
  rng = np.random.default_rng(count)
  logits = rng.integers(0, 50, (5, count)).astype(np.float32)
  logits[0, :] = -np.inf
  found = sampling.largest_in_columns(logits.T)
  np.testing.assert_array_equal(found, logits.argmax(-1))


def test_a_place_is_found_where_no_logit_is_a_number():
  logits = np.full((3072, 1), np.nan, np.float32)
  assert 0 <= int(sampling.largest_in_columns(logits)[0]) < 3072


def test_draws_follow_the_kept_probabilities():
  drawn = _draw({"temperature": 2.0, "top_k": 3}, 4000)
  kept = _theirs(transformers.TopKLogitsWarper(3), LOGITS / 2)
  expected = torch.softmax(torch.tensor(kept), -1).numpy()
  for row in range(3):
    share = np.bincount(drawn[:, row], minlength=40) / len(drawn)
    np.testing.assert_allclose(share, expected[row], atol=0.03)


@pytest.mark.parametrize("temperature", [1e-4, 1e-30, 1e-37, 1e-39, 5e-324])
def test_a_cold_temperature_is_greedy(temperature):
  found = _draw({"temperature": temperature})
  assert np.all(found == LOGITS.argmax(-1)[None])


@pytest.mark.parametrize(
  "wrong",
  [
    {"max_new_tokens": 0},
    {"temperature": -1.0},
    {"top_p": 0.0},
    {"top_k": -1},
  ],
)
def test_wrong_settings_name_themselves(wrong):
  (name,) = wrong
  with pytest.raises(ValueError, match=f"Sampling.{name}"):
    sampling.Sampling(**wrong)
