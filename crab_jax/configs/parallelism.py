"""Where the step runs: the strategy, the mesh of devices, their hosts."""

import dataclasses

from crab_jax.configs import checked


@dataclasses.dataclass(frozen=True)
class Hosts(checked.Checked):
  """How long the hosts of a run wait for each other, in seconds."""

  start: int = 300  # until all have come, and agree on what they run
  heartbeat: int = 100  # a host that is silent for so long counts as lost

  def check(self):
    for name in ("start", "heartbeat"):
      seconds = getattr(self, name)
      checked.require(
        seconds >= 1, f"Hosts.{name}={seconds} must be at least 1"
      )


@dataclasses.dataclass(frozen=True)
class Mesh(checked.Checked):
  """How the step is spread over devices."""

  strategy: str = "pmap"  # "pmap": data parallel; "mesh": jit over a mesh
  data: int = -1  # devices along each axis; -1: what is left
  fsdp: int = 1
  tensor: int = 1
  # logical axis -> mesh axes, in place of entries of training.sharding.RULES
  rules: dict[str, tuple[str, ...]] | None = None
  topology: str | None = None  # the TPU slice it is meant for, e.g. "v5e:4x4"
  # Slices of that topology. `data` counts the devices of all, and only copies of the
  # model lie along it from slice to slice.
  slices: int = 1

  def check(self):
    checked.require(
      self.strategy in ("pmap", "mesh"),
      f'Mesh.strategy={self.strategy!r} must be "pmap" or "mesh"',
    )
    for name in ("data", "fsdp", "tensor"):
      size = getattr(self, name)
      checked.require(
        size == -1 or size >= 1, f"Mesh.{name}={size} must be -1 or at least 1"
      )
    checked.require(
      self.slices >= 1, f"Mesh.slices={self.slices} must be at least 1"
    )
    checked.require(
      self.slices == 1 or self.strategy != "pmap",
      f'Mesh.slices={self.slices} needs Mesh.strategy="mesh"',
    )
