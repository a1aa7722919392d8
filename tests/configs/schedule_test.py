"""A stage of training: what it may train, and how its rows divide."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.Stage("a", 1, "tower"), "Stage.trains"),
    (lambda: configs.Stage("a", -1, "all"), "Stage.steps=-1"),
    (lambda: configs.Stage("a", 1, "all", accumulate=3), "Stage.accumulate=3"),
    (lambda: configs.Stage("a", 1, "all", targets="both"), "Stage.targets"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()


def test_what_a_stage_trains_is_a_group_or_several():
  base = {"projectors", "boundary", "towers", "lm"}
  named = {
    "all": base,
    "adapter": {"adapter"},
    "projectors": {"projectors"},
    ("projectors", "adapter"): {"projectors", "adapter"},
    ("all", "adapter"): base | {"adapter"},
  }
  for trains, groups in named.items():
    assert configs.Stage("a", 1, trains).groups == groups
  for trains in ("everything", (), ("adapter", "towels")):
    with pytest.raises(ValueError, match="Stage.trains="):
      configs.Stage("a", 1, trains)
