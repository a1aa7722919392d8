"""Packed rows: no size of them can be nothing."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.Rows(rows=0), "Rows.rows=0"),
    (lambda: configs.Rows(tokens=0), "Rows.tokens=0"),
    (lambda: configs.Rows(frame_pairs=0), "Rows.frame_pairs=0"),
    (lambda: configs.Rows(chunks=0), "Rows.chunks=0"),
    (lambda: configs.Rows(supervised=0), "Rows.supervised=0"),
    (lambda: configs.Rows(samples=0), "Rows.samples=0"),
    (lambda: configs.Rows(waiting=0), "Rows.waiting=0"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()
