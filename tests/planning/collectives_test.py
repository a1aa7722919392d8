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


_BETWEEN = (
  "(%after), channel_id=9, is_host_transfer=true, frontend_attributes={{"
  '_xla_host_transfer_handler_name="{handler}",'
  '_xla_megascale_target="{{{slices}}}x{{0:3}}",'
  '_xla_megascale_transfer_type="{kind}"}}'
)


def _received(opcode="recv", handler="xla_megascale_runtime", **attributes):
  arrays = (hlo.Array("f32", (6, 8), True), hlo.Array("u32", (), True))
  text = _BETWEEN.format(handler=handler, **attributes)
  line = hlo.Instruction("r", opcode, arrays, ("after",), {}, text)
  return collectives.from_slices_bytes(line)


@pytest.mark.parametrize(
  ("slices", "kind", "shares"),
  [
    ("1,2", "ALL_REDUCE", 1.0),
    ("1:4", "ALL_REDUCE", 2 * 3 / 4),
    ("1:2,4", "ALL_REDUCE", 2 * 2 / 3),
    ("1,2", "ALL_GATHER", 1 / 2),
  ],
)
def test_what_other_slices_send_is_counted_by_a_ring(slices, kind, shares):
  found = _received(slices=slices, kind=kind)
  assert found == pytest.approx(shares * 6 * 8 * 4)


def test_what_is_no_transfer_between_slices_brings_nothing():
  attributes = {"slices": "1,2", "kind": "ALL_REDUCE"}
  assert _received("send", **attributes) == 0
  assert _received("recv-done", **attributes) == 0
  assert _received(handler="a callback", **attributes) == 0
