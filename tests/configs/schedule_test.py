"""A stage of training: what it may train, and how its rows divide."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.Stage("a", 1, "towers"), "Stage.trains"),
    (lambda: configs.Stage("a", -1, "all"), "Stage.steps=-1"),
    (lambda: configs.Stage("a", 1, "all", accumulate=3), "Stage.accumulate=3"),
    (lambda: configs.Stage("a", 1, "all", targets="both"), "Stage.targets"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()
