"""Which dimension of an array lies along which axis of the mesh.

The mesh has three axes: `data` (rows of the batch), `fsdp` (rows of the batch
and a share of every weight) and `tensor` (columns of every product). Where there
are several slices, `data` alone goes from one to another (`configs.Mesh.slices`):
the network between them carries sums of gradients and no weights. `RULES`
is the one table from logical names (the legend of `models.axes`) to mesh axes;
`configs.Mesh.rules` replaces entries of it. A name that is not in the table is
not sharded. What the table leaves open is settled by `spec`:

1. A mesh axis named by two dimensions of one array is an error.
2. Where a mesh axis does not divide the dimension that the table gives it, or
   where the table gives it no dimension (the B heads of a query projection
   have no `embed`), it goes to the largest dimension that it does divide.
3. If there is none, a small array (below `SMALL` elements: norms, biases) is
   replicated, and a large one is an error that names it.

Activations follow the table too, through `nn.with_logical_constraint`. Query
heads that `tensor` does not divide are padded by the compiler to the next
multiple; keys and values of heads that it does not divide are replicated along
`tensor`, see `rules_in_use`.

Reference: FSDP is ZeRO-3, arXiv 1910.02054; `tensor` is the split of
Megatron-LM, arXiv 1909.08053, done by the compiler (GSPMD, arXiv 2105.04663).
"""

import collections
import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.models import axes
from crab_jax.paradigms import thinker

AXES = ("data", "fsdp", "tensor")
# The axes along which every large weight must be split.
WEIGHT_AXES = ("fsdp", "tensor")
SMALL = 2**20  # elements; an array with fewer may be replicated

Rules = dict[str, tuple[str, ...]]

RULES: Rules = {
  "embed": ("fsdp",),
  "tower_embed": ("fsdp",),
  "vocab": ("tensor",),
  "heads": ("tensor",),
  "kv_heads": ("tensor",),
  "mlp": ("tensor",),
  "tower_heads": ("tensor",),
  "tower_mlp": ("tensor",),
  "batch": ("data", "fsdp"),
  "act_heads": ("tensor",),
  "act_kv_heads": ("tensor",),
  "act_mlp": ("tensor",),
  "act_vocab": ("tensor",),
  # While token embeddings are looked up, see `decoder.Embedding`: every device
  # looks up the rows of its whole fsdp group in its own columns of the table.
  "lookup": ("data",),
  "lookup_embed": ("fsdp",),
}


def rules_of(config: configs.Mesh) -> Rules:
  """`RULES` with the changes of the configuration.

  Raises:
    UserError: a name that is not in the legend, or an unknown mesh axis.
  """
  rules = {**RULES, **(config.rules or {})}
  for name, mesh_axes in rules.items():
    if name not in axes.PARAMETERS + axes.ACTIVATIONS:
      raise errors.UserError(
        f"Mesh.rules: {name!r} is no logical axis; there are"
        f" {', '.join(axes.PARAMETERS + axes.ACTIVATIONS)}"
      )
    if unknown := set(mesh_axes) - set(AXES):
      raise errors.UserError(
        f"Mesh.rules: {name!r} names the mesh axis {min(unknown)!r}; there are"
        f" {', '.join(AXES)}"
      )
  return rules


def mesh_shape(config: configs.Mesh, devices: int) -> tuple[int, int, int]:
  """Devices along data, fsdp and tensor; -1 takes what the others leave.

  Raises:
    UserError: the axes do not multiply to the number of devices.
  """
  wanted = [getattr(config, axis) for axis in AXES]
  known = math.prod(size for size in wanted if size != -1)
  shape = tuple(devices // known if size == -1 else size for size in wanted)
  if wanted.count(-1) > 1 or math.prod(shape) != devices:
    raise errors.UserError(
      f"Mesh.data={config.data}, Mesh.fsdp={config.fsdp} and"
      f" Mesh.tensor={config.tensor} must multiply to the {devices} devices"
      " (one of them may be -1)"
    )
  if shape[0] % config.slices:
    raise errors.UserError(
      f"Mesh.data={shape[0]} must be a multiple of Mesh.slices={config.slices}:"
      " between slices lie copies of the model alone"
    )
  return shape


def _by_slice(devices: Sequence[Any]) -> list[list[Any]]:
  """The devices of every slice; all in one, where there are none."""
  found: dict[int, list[Any]] = {}
  for device in devices:
    # Those of a CPU know no slice. To a GPU it is its node, and what joins nodes of
    # GPUs is no bar to fsdp.
    here = getattr(device, "platform", "") != "gpu"
    number = getattr(device, "slice_index", 0) if here else 0
    found.setdefault(number, []).append(device)
  return [found[number] for number in sorted(found)]


def make_mesh(
  config: configs.Mesh, devices: Sequence[Any] | None = None
) -> jax.sharding.Mesh:
  """The mesh of the configuration over `devices` (default: all there are).

  Raises:
    UserError: the shape does not fit the devices, their slices are not those of
      the configuration, or a tensor group spans hosts.
  """
  devices = list(jax.devices() if devices is None else devices)
  slices = _by_slice(devices)
  if len(slices) != config.slices:
    raise errors.UserError(
      f"Mesh.slices={config.slices}, but the devices form {len(slices)}: what lies"
      " along fsdp and tensor must not cross the network between slices"
    )
  shape = mesh_shape(config, len(devices))
  # Auto: the compiler propagates shardings. In `make_mesh`'s default, Explicit,
  # they are part of the types.
  kinds = (jax.sharding.AxisType.Auto,) * len(AXES)
  nodes = {getattr(device, "slice_index", 0) for device in devices}
  if shape[2] == 1 and len(nodes) == len(slices):
    # jax chooses the order of a slice's devices that suits the wires.
    inside = (shape[0] // len(slices), *shape[1:])
    grids = [
      jax.make_mesh(inside, AXES, kinds, devices=own).devices for own in slices
    ]
    return jax.sharding.Mesh(np.concatenate(grids), AXES, axis_types=kinds)
  # The devices of a tensor group are neighbours in one host: hosts read different
  # rows, and a group works on the same rows.
  by_host = [
    device
    for own in slices
    for device in sorted(own, key=lambda one: (one.process_index, one.id))
  ]
  grid = np.array(by_host).reshape(shape)
  for group in grid.reshape(-1, shape[2]):
    hosts = {device.process_index for device in group}
    if len(hosts) > 1:
      local = collections.Counter(device.process_index for device in devices)
      raise errors.UserError(
        f"Mesh.tensor={shape[2]} must divide the {min(local.values())} devices"
        " of a host: the devices of a tensor group read the same rows"
      )
  return jax.sharding.Mesh(grid, AXES, axis_types=kinds)


def _claims(leaf: str, names: Sequence[str | None], rules: Rules) -> list:
  """The mesh axes that the table gives each dimension.

  Raises:
    UserError: two dimensions claim one mesh axis.
  """
  wanted = [rules.get(name, ()) if name else () for name in names]
  owner: dict[str, str | None] = {}
  for name, mesh_axes in zip(names, wanted, strict=True):
    for axis in mesh_axes:
      if axis in owner:
        raise errors.UserError(
          f"the sharding rules give the mesh axis {axis!r} to both"
          f" {owner[axis]!r} and {name!r} of {leaf}"
        )
      owner[axis] = name
  return wanted


def spec(
  leaf: str,
  names: Sequence[str | None],
  shape: Sequence[int],
  rules: Rules,
  sizes: Mapping[str, int],
) -> jax.sharding.PartitionSpec:
  """The layout of a parameter, by the rules of this module.

  Args:
    leaf: its path, for errors.
    names: logical name of each dimension.
    shape: its shape.
    rules: logical name -> mesh axes.
    sizes: mesh axis -> devices.

  Raises:
    UserError: a mesh axis is claimed twice, or a large array cannot be split.
  """
  split: list[tuple[str, ...]] = [() for _ in shape]  # mesh axes of each
  local = list(shape)  # what one device holds of each dimension

  def assign(axis: str, dimension: int) -> bool:
    # `local`: another mesh axis may have split the dimension already.
    if sizes[axis] == 1 or local[dimension] % sizes[axis]:
      return False
    split[dimension] += (axis,)
    local[dimension] //= sizes[axis]
    return True

  claims = _claims(leaf, names, rules)
  for dimension, wanted in enumerate(claims):
    for axis in wanted:
      assign(axis, dimension)
  open_axes = {*WEIGHT_AXES, *(axis for wanted in claims for axis in wanted)}
  large = math.prod(shape) >= SMALL
  for axis in AXES:
    if axis not in open_axes or sizes[axis] == 1 or not large:
      continue
    if any(axis in done for done in split):
      continue
    order = sorted(range(len(shape)), key=lambda i: -local[i])
    # Never the axis of stacked layers: the scan reads one layer at a time.
    if not any(names[i] != "layers" and assign(axis, i) for i in order):
      raise errors.UserError(
        f"{leaf} {tuple(shape)} is too large to be replicated and no dimension"
        f" of it is a multiple of Mesh.{axis}={sizes[axis]}: make that smaller"
        " and Mesh.data larger"
      )
  # No axis of one device, no None at the end: so the compiler writes where the
  # outputs of a step lie; a state of another spec would compile it again.
  while split and not split[-1]:
    split.pop()
  return jax.sharding.PartitionSpec(
    *(done if len(done) > 1 else (done or (None,))[0] for done in split)
  )


def is_box(leaf: Any) -> bool:
  """True for a parameter with the logical names of its dimensions."""
  return isinstance(leaf, nn.Partitioned)


def boxes(model: configs.Model) -> dict[str, nn.Partitioned]:
  """Shape and logical names of every parameter, by path ("a/b/c")."""
  leaves = jax.tree_util.tree_leaves_with_path(
    thinker.abstract(model), is_leaf=is_box
  )
  return {"/".join(key.key for key in keys): box for keys, box in leaves}


def parameter_specs(
  model: configs.Model, sizes: Mapping[str, int], rules: Rules
) -> dict[str, jax.sharding.PartitionSpec]:
  """The layout of every parameter, by path, on a mesh of these sizes.

  Raises:
    UserError: see `spec`.
  """
  return {
    path: spec(path, box.names, box.value.shape, rules, sizes)
    for path, box in boxes(model).items()
  }


def rules_in_use(
  rules: Rules, model: configs.Model, sizes: Mapping[str, int]
) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
  """The rules inside the step, as `nn.logical_axis_rules` wants them."""
  # Weights are split along `tensor` alone where a product reads them
  # (`axes.in_use`): they are gathered along the other axes, a layer at a time.
  chosen = {
    name: tuple(a for a in found if a == "tensor" or name in axes.ACTIVATIONS)
    for name, found in rules.items()
  }
  ways = math.prod(sizes[axis] for axis in rules.get("act_kv_heads", ()))
  # Keys and values stay whole along mesh axes that do not divide the kv heads:
  # they are the smallest activations, and padding would tear the groups of query
  # heads from their kv head.
  if model.decoder.kv_heads % ways:
    chosen["act_kv_heads"] = ()
  return tuple((name, found or None) for name, found in chosen.items())


def tree_shardings(
  tree: Any,
  specs: Mapping[str, jax.sharding.PartitionSpec],
  mesh: jax.sharding.Mesh,
) -> Any:
  """A sharding for every leaf of a tree that holds parameters or copies.

  A leaf belongs to the parameter whose path ends its own (the moments of the
  optimizer repeat the tree of parameters); one that belongs to none, such as a
  counter, is replicated.

  Args:
    tree: arrays or shapes: parameters, frozen leaves, a `state.State`.
    specs: see `parameter_specs`.
    mesh: the mesh.

  Raises:
    ValueError: a leaf belongs to no parameter and is too large to replicate.
  """

  def sharding(keys, leaf):
    # Attributes and indices are levels of a state and of optax's chain, not of the
    # tree of parameters.
    names = [str(k.key) for k in keys if isinstance(k, jax.tree_util.DictKey)]
    # Keys before the path of the parameter are of parts of an optimizer.
    tails = ("/".join(names[first:]) for first in range(len(names)))
    found = next((specs[tail] for tail in tails if tail in specs), None)
    if found is None and math.prod(leaf.shape) >= SMALL:
      path = jax.tree_util.keystr(keys)
      raise ValueError(f"{path} {leaf.shape} belongs to no parameter")
    spec = jax.sharding.PartitionSpec() if found is None else found
    return jax.sharding.NamedSharding(mesh, spec)

  return jax.tree_util.tree_map_with_path(sharding, tree)
