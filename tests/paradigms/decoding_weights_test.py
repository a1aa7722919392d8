"""The decoder's weights as a step of decoding reads them."""

import jax
import numpy as np
import pytest

from crab_jax.models import few_rows
from crab_jax.models import quantised
from crab_jax.paradigms import decoding_weights
from tests.serving import small


def _layers(dtype, turned=False):
  return decoding_weights.layers(small.params(), small.CONFIG, dtype, turned)


def _up_proj(found):
  return found["model"]["layers"][0]["mlp"]["up_proj"]


def _dtypes(found):
  return {x.dtype.name for x in jax.tree.leaves(found)}


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_frozen_projections_are_narrow_and_the_adapter_is_not(dtype):
  up_proj = _up_proj(_layers(dtype))
  assert up_proj["kernel"].dtype == dtype
  assert up_proj["lora_A"].dtype == "float32"
  wide = _up_proj(_layers(None))["kernel"]
  kernel = np.asarray(up_proj["kernel"], np.float32)
  if dtype == "int8":
    kernel = kernel * np.asarray(up_proj[quantised.SCALE])
  # Half a step of int8 in the largest number of a column; bfloat16 has 8 bits.
  assert np.max(np.abs(kernel - wide)) < np.max(np.abs(wide)) / 127
  assert decoding_weights.model_of(small.CONFIG, dtype).frozen_dtype == (
    "int8" if dtype == "int8" else small.CONFIG.frozen_dtype
  )


def test_as_they_are_all_are_float32_and_no_layer_is_a_stack():
  found = _layers(None)
  assert _dtypes(found) == {"float32"}
  assert len(found["model"]["layers"]) == small.CONFIG.decoder.layers


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_turned_kernels_hold_a_row_an_output(dtype):
  plain, turned = _layers(dtype), _layers(dtype, turned=True)
  for one, other in (
    (_up_proj(plain), _up_proj(turned)),
    (plain["lm_head"], turned["lm_head"]),
  ):
    assert "kernel" not in other
    np.testing.assert_array_equal(one["kernel"].T, other[few_rows.TURNED])


def test_the_vocabulary_is_int8_where_it_is_turned():
  assert "int8" not in _dtypes(_layers("int8")["lm_head"])
  head = _layers("int8", turned=True)["lm_head"]
  assert head[few_rows.TURNED].dtype == "int8"
  assert quantised.SCALE in head
