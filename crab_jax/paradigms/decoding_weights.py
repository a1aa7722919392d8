"""The weights of the decoder as a step of decoding reads them.

A step reads every weight for few rows. So the layers lie apart, frozen projections
may be stored in fewer bytes, and a CPU takes kernels turned.
"""

import dataclasses

import jax
import jax.numpy as jnp

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import few_rows
from crab_jax.models import quantised
from crab_jax.paradigms import generate


def model_of(config: configs.Model, dtype: str | None) -> configs.Model:
  """The model as decoding reads it."""
  if dtype != "int8":
    return config
  return dataclasses.replace(config, frozen_dtype="int8")


def layers(
  params: at.Tree,
  config: configs.Model,
  dtype: str | None,
  turned: bool = False,
) -> at.Tree:
  """The decoder's parameters, its frozen projections stored in `dtype`.

  Args:
    params: all of the model.
    config: the model.
    dtype: "bfloat16" or "int8"; None: as they are.
    turned: store all kernels, that of the vocabulary too, as several rows on a
      CPU are multiplied fastest; see `few_rows`. With "int8" that of the
      vocabulary is then int8 as well, which it is not otherwise.
  """
  found = generate.split_layers(params, config)
  if dtype == "int8" and config.frozen_dtype != "int8":
    model = dict(found["model"])
    model["layers"] = [
      quantised.fit(layer, model_of(config, dtype)) for layer in model["layers"]
    ]
    found = {**found, "model": model}
  elif dtype == "bfloat16" and config.frozen_dtype != "int8":
    found = jax.tree_util.tree_map_with_path(
      lambda path, leaf: (
        leaf.astype(jnp.bfloat16) if path[-1].key == "kernel" else leaf
      ),
      found,
    )
  if not turned:
    return found
  model = {
    **found["model"],
    "layers": [few_rows.turn(layer) for layer in found["model"]["layers"]],
  }
  head = found["lm_head"]
  if dtype == "int8":
    kernel, scale = quantised.quantise(head["kernel"])
    head = {"kernel": kernel, quantised.SCALE: scale}
  return {"model": model, "lm_head": few_rows.turn(head)}
