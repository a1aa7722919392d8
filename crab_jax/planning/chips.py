"""Figures of accelerator chips, each with the page it was read from.

Peaks are the makers' figures for dense bfloat16 products; no program reaches
them. A TPU slice is named "v5e:4x4": the chip, and the chips along each axis.
"""

import dataclasses
import math

from crab_jax import errors

_TPU = "https://docs.cloud.google.com/tpu/docs/"
_GPU = "https://resources.nvidia.com/en-us-tensor-core"


@dataclasses.dataclass(frozen=True)
class Chip:
  """One accelerator chip.

  Attributes:
    name: as in a topology ("v5e"), or the maker's name.
    kinds: what `jax.Device.device_kind` says of it.
    flops: peak bfloat16 FLOP/s.
    hbm_bytes: capacity of its memory.
    hbm_bandwidth: bytes/s between chip and memory.
    ici_bandwidth: bytes/s that all its links to other chips send together, one
      way (half of the "bidirectional" figure of the page); 0: not counted.
    dcn_bandwidth: bytes/s that a chip's share of its host's network carries to
      other slices; 0: not counted.
    source: where the figures are from.
  """

  name: str
  kinds: tuple[str, ...]
  flops: float
  hbm_bytes: float
  hbm_bandwidth: float
  ici_bandwidth: float
  dcn_bandwidth: float
  source: str


CHIPS = (
  # 16 GB of these pages are GiB: the compiler budgets 15.75 GiB a v5e chip.
  Chip(
    "v5e",
    ("TPU v5 lite", "TPU v5e"),
    197e12,
    16 * 2**30,
    819e9,
    200e9,
    # 6.4 Tbit/s a pod of 256 chips
    6.4e12 / 8 / 256,
    _TPU + "v5e",
  ),
  Chip(
    "v5p",
    ("TPU v5", "TPU v5p"),
    459e12,
    95 * 2**30,
    2765e9,
    600e9,
    50e9 / 8,
    _TPU + "v5p",
  ),
  Chip(
    "v6e",
    ("TPU v6 lite", "TPU v6e"),
    918e12,
    32 * 2**30,
    1638e9,
    400e9,
    # 25.6 Tbit/s a pod of 256 chips
    25.6e12 / 8 / 256,
    _TPU + "v6e",
  ),
  Chip(
    "A100 80GB",
    ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe"),
    312e12,
    80e9,
    2039e9,
    0.0,
    0.0,
    _GPU,
  ),
  Chip(
    "H100 SXM", ("NVIDIA H100 80GB HBM3",), 989e12, 80e9, 3350e9, 0.0, 0.0, _GPU
  ),
  Chip("H200", ("NVIDIA H200",), 989e12, 141e9, 4800e9, 0.0, 0.0, _GPU),
)


def of_kind(kind: str) -> Chip | None:
  """The chip of a `device_kind`; None for one that is not in the table."""
  return next((chip for chip in CHIPS if kind in chip.kinds), None)


def of_topology(topology: str) -> tuple[Chip, int]:
  """The chip of a TPU slice, and how many the slice has.

  Raises:
    UserError: the topology is malformed or its chip is not in the table.
  """
  name, _, shape = topology.partition(":")
  chip = next((c for c in CHIPS if c.name == name and c.ici_bandwidth), None)
  sides = shape.split("x")
  if chip is None or not all(side.isdigit() for side in sides):
    tpus = ", ".join(c.name for c in CHIPS if c.ici_bandwidth)
    raise errors.UserError(
      f"topology {topology!r} must read like v5e:4x4, with one of {tpus}"
    )
  return chip, math.prod(int(side) for side in sides)


def host_of(topology: str) -> str:
  """The slice that one host of a slice is: 2 x 2 chips, if it has so many.

  Raises:
    UserError: see `of_topology`.
  """
  of_topology(topology)
  name, _, shape = topology.partition(":")
  sides = [int(side) for side in shape.split("x")]
  own = [min(side, 2) if i < 2 else 1 for i, side in enumerate(sides)]
  return f"{name}:{'x'.join(map(str, own))}"
