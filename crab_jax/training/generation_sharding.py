"""A model on the devices of one process, for generation.

With the strategy "pmap" every device holds the whole model and a part of the
prompts. With "mesh" each holds a part of every large weight, by the same rules
as in training, but along other axes: along `fsdp` every token that is decoded
brings every weight to every device, along `tensor` the devices share the heads
and only activations move. Processes share nothing: each answers other clips,
so no device waits for another host. What is split over hosts is brought to each
by the devices: no host's memory holds the model.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax.models import axes
from crab_jax.training import sharding


@dataclasses.dataclass(frozen=True)
class Layout:
  """How parameters and prompts lie on the devices.

  Attributes:
    mesh: of the devices; None: the default device alone.
    rules: logical axis -> mesh axes, inside the program.
    specs: parameter path -> layout; {}: every device has all.
    hosts: the meshes of all processes, stacked along the axis "host"; None: of
      parameters that are split over hosts none can be placed.
  """

  mesh: jax.sharding.Mesh | None
  rules: tuple
  specs: dict
  hosts: jax.sharding.Mesh | None = None

  def shard(self, params: array_types.Tree) -> array_types.Tree:
    """The parameters on the devices.

    Args:
      params: arrays; where they are split over several hosts, every process has
        to call this.
    """
    return jax.tree.map(self._place, params, self.shardings(params))

  def _place(
    self, leaf: array_types.Array, target: jax.sharding.Sharding
  ) -> jax.Array:
    """One parameter on the devices of this process."""
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
      return jax.device_put(leaf, target)
    assert self.hosts is not None  # `local` of several processes has them
    spec = getattr(target, "spec", jax.sharding.PartitionSpec())
    # "host" is not in the spec: every process gets a copy, laid out as it wants it.
    copies = jax.device_put(leaf, jax.sharding.NamedSharding(self.hosts, spec))
    own = [part.data for part in copies.addressable_shards]
    return jax.make_array_from_single_device_arrays(leaf.shape, target, own)

  def shardings(
    self, params: array_types.Tree, device: Any | None = None
  ) -> array_types.Tree:
    """The sharding of every parameter.

    Args:
      params: arrays or shapes.
      device: where there is no mesh; None: the first one of this process.
    """
    if self.specs and self.mesh is not None:
      return sharding.tree_shardings(params, self.specs, self.mesh)
    if self.mesh is None:
      device = jax.local_devices()[0] if device is None else device
      whole: jax.sharding.Sharding = jax.sharding.SingleDeviceSharding(device)
    else:
      whole = jax.sharding.NamedSharding(
        self.mesh, jax.sharding.PartitionSpec()
      )
    return jax.tree.map(lambda _: whole, params)

  def whole_rows(self, rows: int) -> int:
    """`rows`, rounded up so that every device has as many."""
    # The devices of a tensor group answer the same prompts.
    ways = self.mesh.size // self.mesh.shape["tensor"] if self.mesh else 1
    return math.ceil(rows / ways) * ways

  @contextlib.contextmanager
  def scope(self) -> Iterator[None]:
    """Inside it a program runs on all the devices."""
    if self.mesh is None:
      yield
      return
    with jax.set_mesh(self.mesh), nn.logical_axis_rules(self.rules):
      yield


def one_device() -> Layout:
  """The default device alone."""
  return Layout(None, (), {})


def local(
  config: configs.Mesh,
  model: configs.Model,
  devices: Sequence[Any] | None = None,
) -> Layout:
  """All devices of one process.

  Args:
    config: its strategy says whether weights are split. Of its shape only a
      `tensor` above 1 counts, as a process has devices of its own alone;
      otherwise as many of them share the heads as divide the kv heads. The
      other devices take other prompts, or, where no two can share the
      heads, parts of the weights.
    model: whose parameters are to be sharded.
    devices: of the process; None: of this one.

  Raises:
    UserError: the model does not fit the devices.
  """
  if devices is None and jax.process_count() > 1:
    found = [
      local(config, model, jax.local_devices(process))
      for process in range(jax.process_count())
    ]
    here = found[jax.process_index()]
    return dataclasses.replace(here, hosts=_stacked(found))
  devices = list(jax.local_devices() if devices is None else devices)
  if len(devices) == 1:
    return one_device()
  split = config.strategy == "mesh"
  wanted = config.tensor if config.tensor > 1 else model.decoder.kv_heads
  tensor = math.gcd(wanted, len(devices)) if split else 1
  by_rows = tensor > 1 or not split
  shape = dataclasses.replace(
    config,
    # Along `fsdp` every decoded token would bring every weight to every device.
    data=-1 if by_rows else 1,
    fsdp=1 if by_rows else -1,
    tensor=tensor,
    slices=1,  # a host is of one slice
  )
  mesh = sharding.make_mesh(shape, devices)
  rules = sharding.rules_of(config)
  specs = sharding.parameter_specs(model, mesh.shape, rules) if split else {}
  # Activations alone: to decode one token, weights are better kept in parts.
  active = tuple(
    (name, mesh_axes)
    for name, mesh_axes in sharding.rules_in_use(rules, model, mesh.shape)
    if name in axes.ACTIVATIONS
  )
  return Layout(mesh, active, specs)


def _stacked(layouts: Sequence[Layout]) -> jax.sharding.Mesh:
  """The meshes of all processes, one after the other along "host"."""
  kind = jax.sharding.AxisType.Auto
  if layouts[0].mesh is None:  # a device each
    grid = [jax.local_devices(process)[0] for process in range(len(layouts))]
    return jax.sharding.Mesh(np.array(grid), ("host",), axis_types=(kind,))
  names = ("host", *layouts[0].mesh.axis_names)
  grids = np.stack([layout.mesh.devices for layout in layouts if layout.mesh])
  return jax.sharding.Mesh(grids, names, axis_types=(kind,) * len(names))
