"""The mesh: what its axes may be."""

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.Mesh(strategy="shard"), "Mesh.strategy"),
    (lambda: configs.Mesh(fsdp=0), "Mesh.fsdp=0"),
    (lambda: configs.Mesh(tensor=-2), "Mesh.tensor=-2"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()
