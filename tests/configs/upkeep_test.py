"""Validation: what the best step may be chosen by."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.Validation(every=-1), "Validation.every=-1"),
    (lambda: configs.Validation(batches=0), "Validation.batches=0"),
    (lambda: configs.Validation(every=1, best="speed"), "Validation.best"),
    (lambda: configs.Validation(best="loss/ave"), "needs Validation.every"),
    (
      lambda: configs.Validation(every=1, best="score"),
      "needs Validation.clips",
    ),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()


def test_the_best_by_loss_needs_no_clips():
  assert configs.Validation(every=1, best="loss/ave").clips == 0
