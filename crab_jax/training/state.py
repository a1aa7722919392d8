"""The training state, and which parameters train.

What trains is data: `labels` names every leaf "train" or "frozen", and the
run prints the counts a subtree. Which leaves are the adapter's,
`models.ilora.is_leaf` says, to which group others belong, `network.group`.
"""

import dataclasses
from typing import Any

import flax.struct
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax.configs import schedule
from crab_jax.models import ilora
from crab_jax.paradigms import network
from crab_jax.paradigms import thinker


class State(flax.struct.PyTreeNode):
  """What a step changes: all that a checkpoint of a stage must hold."""

  # jax rebuilds the class with placeholders, so no field has a checked type.
  step: Any  # int32[], updates done
  params: Any  # the trainable leaves, float32
  opt_state: Any  # of the optimizer: Adam's moments, the schedule's count


def stage_model(model: configs.Model, trains: schedule.Trains) -> configs.Model:
  """The model of a stage: its adapter where that trains; int8 where nothing else.

  Args:
    model: with the adapter.
    trains: `Stage.trains`.
  """
  groups = schedule.groups(trains)
  return dataclasses.replace(
    model,
    adapter=model.adapter if "adapter" in groups else None,
    # jax has no gradients of integers: kernels that train are no int8.
    frozen_dtype=model.frozen_dtype if groups == {"adapter"} else None,
  )


def labels(params: array_types.Tree, trains: schedule.Trains) -> dict[str, str]:
  """ "train" or "frozen" for every parameter path ("a/b/c").

  Args:
    params: nested dict of arrays or shapes.
    trains: `Stage.trains`: the groups of those that do.
  """
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  wanted = schedule.groups(trains)

  def group(path):
    return "adapter" if ilora.is_leaf(path) else network.group(path)

  return {path: "train" if group(path) in wanted else "frozen" for path in flat}


def split(
  params: array_types.Tree, trains: schedule.Trains
) -> tuple[array_types.Tree, array_types.Tree]:
  """The trainable and the frozen leaves, each as a nested dict."""
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  names = labels(params, trains)
  parts = (
    {path: leaf for path, leaf in flat.items() if names[path] == label}
    for label in ("train", "frozen")
  )
  trained, frozen = (
    flax.traverse_util.unflatten_dict(part, sep="/") for part in parts
  )
  return trained, frozen


def merge(*parts: array_types.Tree) -> array_types.Tree:
  """One nested dict of all leaves; a leaf in two parts is an error."""
  flat = {}
  for part in parts:
    for path, leaf in flax.traverse_util.flatten_dict(part, sep="/").items():
      if path in flat:
        raise ValueError(f"parameter {path} is in two parts")
      flat[path] = leaf
  return flax.traverse_util.unflatten_dict(flat, sep="/")


def create(
  trained: array_types.Tree, optimizer: optax.GradientTransformation
) -> State:
  """The state before the first step; masters are float32."""
  # bfloat16 has 8 bits: it would round an update below 1/256 of a weight away.
  masters = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), trained)
  return State(
    step=jnp.zeros((), jnp.int32),
    params=masters,
    opt_state=optimizer.init(masters),
  )


def init(
  key: jax.Array,
  model: configs.Model,
  optimizer: optax.GradientTransformation,
  trains: schedule.Trains,
) -> tuple[State, array_types.Tree]:
  """A state and frozen leaves with random weights; for `init_sharded`."""
  params = nn.meta.unbox(thinker.init(key, model))
  trained, frozen = split(params, trains)
  return create(trained, optimizer), frozen


def describe(params: array_types.Tree, trains: schedule.Trains) -> str:
  """A table: trainable and frozen parameters of each subtree."""
  names = labels(params, trains)
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  counts: dict[str, dict[str, int]] = {}
  for path, leaf in flat.items():
    row = counts.setdefault(path.split("/")[0], {"train": 0, "frozen": 0})
    row[names[path]] += int(np.prod(leaf.shape))
  width = max(len(name) for name in counts)
  return "\n".join(
    f"  {name:<{width}}  train {row['train']:>13,}  frozen {row['frozen']:>15,}"
    for name, row in sorted(counts.items())
  )
