"""One table, few rules: what lies where, and what is refused."""

import dataclasses
import math
import types

import jax
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.models import axes
from crab_jax.paradigms import thinker
from crab_jax.training import optim
from crab_jax.training import sharding
from crab_jax.training import state as state_lib

P = jax.sharding.PartitionSpec
_SIZES = {"data": 1, "fsdp": 4, "tensor": 2}
_TINY = configs.tiny(adapter=configs.ILora(rank=8))
_7B = configs.qwen2_5_omni_7b(adapter=configs.ILora())
_3B = configs.qwen2_5_omni_3b(adapter=configs.ILora())


def _spec(names, shape, sizes=_SIZES, rules=sharding.RULES):
  return sharding.spec("a/leaf", names, shape, rules, sizes)


def _sizes(*sizes):
  return dict(zip(sharding.AXES, sizes, strict=True))


def test_the_table_speaks_the_legend():
  assert set(sharding.RULES) <= set(axes.PARAMETERS + axes.ACTIVATIONS)


def test_a_kernel_lies_as_the_table_says():
  names = ("layers", "embed", "mlp")
  assert _spec(names, (28, 3584, 18944)) == P(None, "fsdp", "tensor")


def test_an_axis_that_does_not_divide_moves_to_the_largest_that_it_does():
  """3420 columns, 8 ways: half of fsdp's dimension takes tensor too."""
  sizes = {"data": 1, "fsdp": 4, "tensor": 8}
  names = ("layers", "tower_embed", "tower_mlp")
  assert _spec(names, (32, 1280, 3420), sizes) == P(None, ("fsdp", "tensor"))


def test_an_axis_that_the_table_leaves_open_finds_a_place():
  """B of a query projection has no `embed`, A no columns."""
  names = ("layers", "lora_heads", "rank", "heads")
  assert _spec(names, (28, 3, 128, 3584)) == P(
    None, None, None, ("tensor", "fsdp")
  )
  names = ("layers", "embed", "rank")
  assert _spec(names, (28, 3584, 128)) == P(None, ("fsdp", "tensor"))


def test_small_leaves_may_be_replicated():
  assert _spec(("layers", "norm"), (28, 3584)) == P()
  assert _spec(("heads",), (7,)) == P()


def test_a_large_leaf_that_nothing_divides_is_named():
  with pytest.raises(errors.UserError, match="a/leaf.*Mesh.fsdp"):
    _spec(("layers", "embed", "rank"), (4, 1025, 1025))
  names = ("layers", "tower_mlp", "rank")  # down_proj of the vision tower
  with pytest.raises(errors.UserError, match="Mesh.data larger"):
    _spec(names, (32, 3420, 128), _sizes(1, 256, 1))


def test_a_mesh_axis_claimed_twice_is_named():
  with pytest.raises(errors.UserError, match="'tensor' to both 'heads' and"):
    _spec(("heads", "mlp"), (8, 8))


def test_the_stack_of_layers_is_never_split():
  names = ("layers", "rank", "rank")
  assert _spec(names, (1024, 36, 36))[0] is None


@pytest.mark.parametrize("model", [_7B, _3B], ids=["7b", "3b"])
def test_no_large_leaf_of_the_released_sizes_is_replicated(model):
  meshes = ((1, 8, 1), (1, 4, 4), (1, 64, 4), (2, 2, 2), (4, 64, 1))
  for path, box in sharding.boxes(model).items():
    shape = box.value.shape
    for mesh in meshes if math.prod(shape) >= sharding.SMALL else ():
      sizes = _sizes(*mesh)
      spec = sharding.spec(path, box.names, shape, sharding.RULES, sizes)
      used = [sizes[axis] for axis in jax.tree.leaves(tuple(spec))]
      assert math.prod(used) == math.prod(mesh[1:]), path


def test_rules_can_be_replaced():
  config = configs.Mesh(rules={"rank": ("tensor",), "mlp": ()})
  rules = sharding.rules_of(config)
  assert rules["rank"] == ("tensor",)
  assert rules["mlp"] == ()
  assert rules["embed"] == ("fsdp",)


@pytest.mark.parametrize(
  ("rules", "culprit"),
  [({"mpl": ("tensor",)}, "'mpl'"), ({"mlp": ("tenser",)}, "'tenser'")],
)
def test_a_misspelt_rule_is_named(rules, culprit):
  with pytest.raises(errors.UserError, match=culprit):
    sharding.rules_of(configs.Mesh(rules=rules))


@pytest.mark.parametrize(
  ("sizes", "shape"),
  [((-1, 1, 1), (8, 1, 1)), ((1, -1, 2), (1, 4, 2)), ((2, 2, 2), (2, 2, 2))],
)
def test_one_axis_takes_what_is_left(sizes, shape):
  config = configs.Mesh(data=sizes[0], fsdp=sizes[1], tensor=sizes[2])
  assert sharding.mesh_shape(config, 8) == shape


@pytest.mark.parametrize(
  "sizes", [(3, 1, 1), (-1, -1, 1), (-1, 3, 1), (2, 2, 1)]
)
def test_a_mesh_that_does_not_fit_is_an_error(sizes):
  config = configs.Mesh(data=sizes[0], fsdp=sizes[1], tensor=sizes[2])
  with pytest.raises(errors.UserError, match="8 devices"):
    sharding.mesh_shape(config, 8)


def _hosts(count, local):
  return [
    types.SimpleNamespace(id=i, process_index=i // local, device_kind="fake")
    for i in range(count)
  ]


def test_a_tensor_group_stays_in_its_host():
  """Hosts read different rows, the devices of a group the same."""
  config = configs.Mesh(fsdp=2, tensor=4)
  with pytest.raises(errors.UserError, match="the 2 devices of a host"):
    sharding.make_mesh(config, _hosts(8, 2))


@dataclasses.dataclass(frozen=True)
class _Chip:
  id: int
  process_index: int
  slice_index: int
  platform: str
  device_kind: str = "fake"


def _slices(count, chips, platform="fake"):  # jax asks those of TPUs for more
  """Devices of slices of two hosts each, in an order of no meaning."""
  return [
    _Chip(i, 2 * i // chips, i // chips, platform)
    for i in reversed(range(count * chips))
  ]


@pytest.mark.parametrize(
  ("slices", "sizes"),
  [
    (2, (2, 4, 1)),
    (2, (4, 2, 1)),
    (2, (2, 2, 2)),
    (2, (-1, 1, 2)),
    (3, (3, 4, 1)),
  ],
)
def test_only_copies_of_the_model_lie_in_several_slices(slices, sizes):
  data, fsdp, tensor = sizes
  config = configs.Mesh("mesh", data, fsdp, tensor, slices=slices)
  grid = sharding.make_mesh(config, _slices(slices, 4)).devices
  owner = np.vectorize(lambda device: device.slice_index)(grid)
  assert sorted(device.id for device in grid.flat) == list(range(4 * slices))
  # Along fsdp and tensor nothing changes; along data it does as seldom as can be.
  assert (owner == owner[:, :1, :1]).all()
  assert (np.diff(owner[:, 0, 0]) != 0).sum() == slices - 1


@pytest.mark.parametrize(("there", "said"), [(2, 1), (1, 2), (4, 2)])
def test_slices_that_are_not_those_of_the_settings_are_refused(there, said):
  """Else weights would be gathered across the network between slices."""
  config = configs.Mesh("mesh", fsdp=4, slices=said)
  with pytest.raises(errors.UserError, match=f"slices={said}, .* {there}:"):
    sharding.make_mesh(config, _slices(there, 4))


def test_fsdp_across_slices_is_refused():
  config = configs.Mesh("mesh", data=1, fsdp=8, slices=2)
  with pytest.raises(errors.UserError, match="Mesh.data=1 must be a multiple"):
    sharding.make_mesh(config, _slices(2, 4))


def test_nodes_of_gpus_are_no_slices():
  devices = _slices(2, 4, "gpu")
  mesh = sharding.make_mesh(configs.Mesh("mesh", fsdp=8, data=1), devices)
  assert mesh.shape["fsdp"] == 8


def test_optimizer_states_lie_as_their_parameters():
  mesh = sharding.make_mesh(configs.Mesh(data=1, fsdp=4, tensor=2))
  specs = sharding.parameter_specs(_TINY, mesh.shape, sharding.RULES)
  shapes = nn.meta.unbox(thinker.abstract(_TINY))
  trained, _ = state_lib.split(shapes, "adapter")
  optimizer = optim.optimizer(configs.Optimizer(), 10)
  state = jax.eval_shape(lambda t: state_lib.create(t, optimizer), trained)
  where = sharding.tree_shardings(state, specs, mesh)
  moments = [
    leaf for leaf in jax.tree.leaves(where.opt_state) if leaf.spec != P()
  ]
  parameters = jax.tree.leaves(where.params)
  assert parameters == [
    jax.sharding.NamedSharding(mesh, specs[path])
    for path in sorted(specs)
    if "lora_" in path
  ]
  assert moments == parameters * 2
  assert where.step.spec == P()


def test_states_of_muon_lie_as_their_parameters():
  """Its two parts are keys of dicts above the trees of parameters."""
  mesh = sharding.make_mesh(configs.Mesh("mesh", data=1, fsdp=4, tensor=2))
  model = configs.qwen2_5_omni_7b()
  shapes = nn.meta.unbox(thinker.abstract(model))
  specs = sharding.parameter_specs(model, dict(mesh.shape), sharding.RULES)
  optimizer = optim.optimizer(configs.Optimizer(name="muon"), 10)
  state = jax.eval_shape(lambda t: state_lib.create(t, optimizer), shapes)
  where = sharding.tree_shardings(state, specs, mesh)
  kernel = "mlp/up_proj/kernel"
  wanted = next(spec for path, spec in specs.items() if path.endswith(kernel))
  found = [
    leaf.spec
    for keys, leaf in jax.tree_util.tree_leaves_with_path(where.opt_state)
    if "layers" in str(keys) and "up_proj" in str(keys)
    if "model" in str(keys) and "kernel" in str(keys)
  ]
  assert found == [wanted] and wanted != P()


def test_a_large_leaf_of_no_parameter_is_named():
  mesh = sharding.make_mesh(configs.Mesh())
  tree = {"stray": jax.ShapeDtypeStruct((2048, 2048), "float32")}
  with pytest.raises(ValueError, match="stray"):
    sharding.tree_shardings(tree, {}, mesh)


def test_keys_and_values_are_whole_where_their_heads_do_not_divide():
  rules = dict(sharding.rules_in_use(sharding.RULES, _7B, _sizes(1, 2, 8)))
  assert rules["act_kv_heads"] is None
  assert rules["act_heads"] == ("tensor",)
  rules = dict(sharding.rules_in_use(sharding.RULES, _7B, _sizes(1, 2, 4)))
  assert rules["act_kv_heads"] == ("tensor",)


def test_weights_in_use_are_split_along_tensor_only():
  rules = dict(sharding.rules_in_use(sharding.RULES, _7B, _sizes(1, 8, 2)))
  assert rules["embed"] is None
  assert rules["mlp"] == ("tensor",)
  assert rules["batch"] == ("data", "fsdp")
