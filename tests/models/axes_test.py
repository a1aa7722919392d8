"""Logical axes: what they are called, and what they ask for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax.models import axes

_RULES = (("batch", "data"), ("embed", "fsdp"), ("mlp", "tensor"))


@pytest.fixture
def mesh():
  auto = (jax.sharding.AxisType.Auto,) * 3
  return jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=auto)


def test_every_name_is_explained():
  for name in axes.PARAMETERS + axes.ACTIVATIONS:
    assert f"\n  {name} " in axes.__doc__


def test_unknown_axis_is_refused():
  with pytest.raises(ValueError, match="heds"):
    axes.named(nn.initializers.zeros_init(), "heds")


def test_an_unknown_name_of_an_activation_is_refused():
  with pytest.raises(ValueError, match="act_heds"):
    axes.constrain(jnp.zeros((2, 3)), "batch", "act_heds")


def test_without_rules_and_mesh_nothing_is_asked_for():
  x = jnp.ones((4, 6))
  np.testing.assert_array_equal(axes.constrain(x, "batch", None), x)
  assert axes.in_use(x, "embed", "mlp") is x
  assert axes.by_device(len, (("batch",),), ("batch",)) is len


def test_an_activation_lies_as_the_rules_say(mesh):
  with jax.set_mesh(mesh), nn.logical_axis_rules(_RULES):
    found = jax.jit(lambda x: axes.constrain(2 * x, "batch", None))(
      jnp.ones((4, 6))
    )
  wanted = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  assert found.sharding.is_equivalent_to(wanted, 2)


def test_every_device_sees_its_own_part(mesh):
  seen = []

  def own(x):
    seen.append(x.shape)
    return x + jax.lax.axis_index("data")

  with jax.set_mesh(mesh), nn.logical_axis_rules(_RULES):
    run = axes.by_device(own, (("batch", None),), ("batch", None))
    found = jax.jit(run)(jnp.zeros((4, 6)))
  assert set(seen) == {(2, 6)}
  np.testing.assert_array_equal(found[:, 0], [0, 0, 1, 1])
