"""Metrics that are made of what the engine counts."""

import pytest

from crab_jax.serving import interface
from crab_jax.serving import metrics


@pytest.mark.parametrize(
  ("stats", "wanted"),
  [
    (interface.Stats(), "0.0"),
    (interface.Stats(prompt_tokens=60, padded_tokens=80), "0.25"),
    # Of 160 tokens 100 were there already: 60 of 80 are no padding.
    (
      interface.Stats(prompt_tokens=160, cached_tokens=100, padded_tokens=80),
      "0.25",
    ),
  ],
)
def test_padding_is_a_share_of_what_was_computed(stats, wanted):
  text = metrics.Metrics(lambda: stats, dict).text().decode()
  assert f"crab_padding_ratio {wanted}\n" in text
