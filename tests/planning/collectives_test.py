"""Who takes part in a collective, in all forms that XLA writes."""

import pytest

from crab_jax.planning import collectives
from crab_jax.planning import hlo


@pytest.mark.parametrize(
  ("groups", "size"),
  [
    ("replica_groups={{0,1},{2,3}}", 2),
    ("replica_groups=[2,4]<=[8]", 4),
    ("replica_groups=mesh['x'=4,'y'=2] {'x','y'}", 8),
    ("replica_groups=mesh['x'=4,'y'=2] {'x':(1)2}", 2),
    ("replica_groups={}", 8),
  ],
)
def test_groups_are_read_in_all_their_forms(groups, size):
  line = hlo.Instruction("a", "all-gather", (), (), {}, f"(%x), {groups}, b=1")
  assert collectives.group_size(line, 8) == size
