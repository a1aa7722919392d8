"""Where the step runs: the strategy and the mesh of devices."""

import dataclasses

from crab_jax.configs import checked


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
