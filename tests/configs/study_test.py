"""A study of transfer: what it may compare."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.Transfer(methods=("lora", "lora")), "Transfer.methods"),
    (lambda: configs.Transfer(seeds=()), "Transfer.seeds"),
    (lambda: configs.Transfer(targets=("long",)), "Transfer.targets"),
    (lambda: configs.Transfer(targets=("answer",)), "Transfer.pair_targets"),
    (lambda: configs.Transfer(trains="projectors"), "Transfer.trains"),
    (lambda: configs.Transfer(trains=("adapter", "eyes")), "Transfer.trains"),
    (lambda: configs.Transfer(samples=0), "Transfer.samples=0"),
    (lambda: configs.Transfer(claim_minutes=0), "Transfer.claim_minutes=0"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()
