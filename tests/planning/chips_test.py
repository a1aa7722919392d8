"""The table of chips and the names of slices."""

import pytest

from crab_jax import errors
from crab_jax.planning import chips


@pytest.mark.parametrize(
  ("topology", "name", "count"),
  [("v5e:4x4", "v5e", 16), ("v5p:4x4x4", "v5p", 64), ("v6e:2x4", "v6e", 8)],
)
def test_a_slice_is_a_chip_and_a_count(topology, name, count):
  chip, found = chips.of_topology(topology)
  assert (chip.name, found) == (name, count)


@pytest.mark.parametrize(
  ("topology", "host"),
  [
    ("v5e:4x4", "v5e:2x2"),
    ("v5p:4x4x4", "v5p:2x2x1"),
    ("v6e:1x1", "v6e:1x1"),
  ],
)
def test_a_host_has_2_x_2_chips(topology, host):
  assert chips.host_of(topology) == host


@pytest.mark.parametrize(
  "topology", ["v5e", "v9:4x4", "4x4", "v5e:4xx", "H200:1x1"]
)
def test_a_malformed_slice_is_named(topology):
  with pytest.raises(errors.UserError, match=topology):
    chips.of_topology(topology)


def test_a_device_kind_finds_its_chip():
  assert chips.of_kind("TPU v5 lite").flops == 197e12
  assert chips.of_kind("NVIDIA H200").hbm_bytes == 141e9
  assert chips.of_kind("cpu") is None


def test_every_chip_names_its_source():
  for chip in chips.CHIPS:
    assert chip.source.startswith("https://")
    assert chip.flops > 1e14
    assert chip.hbm_bandwidth > 5e11


def test_between_slices_is_slower_than_within():
  for chip in chips.CHIPS:
    assert chip.dcn_bandwidth < chip.ici_bandwidth or not chip.ici_bandwidth
    assert bool(chip.dcn_bandwidth) == bool(chip.ici_bandwidth)
