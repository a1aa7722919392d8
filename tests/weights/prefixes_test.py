"""Prefixes of trainers are taken off; another one is named."""

import pytest

from crab_jax.paradigms.qwen2_5_omni import names
from crab_jax.weights import prefixes

_NAME = "model.layers.0.mlp.up_proj.lora_A.weight"


@pytest.mark.parametrize(
  "prefix", ["", "base_model.model.", "module.base_model.model.thinker."]
)
def test_known_prefixes(prefix):
  found = prefixes.canonical(prefix + _NAME, names.CHECKPOINT)
  assert found == _NAME
  assert prefixes.wrong([found], names.CHECKPOINT) is None


def test_another_prefix():
  found = [f"policy.{_NAME}", "lm_head.weight"]
  assert prefixes.wrong(found, names.CHECKPOINT) == (
    "1 tensors begin with 'policy.'; expected is 'base_model.model.'"
  )


def test_names_that_lack_a_part():
  found = prefixes.wrong([_NAME.removeprefix("model.")], names.CHECKPOINT)
  assert found.startswith("1 tensors begin with 'layers.'; expected is")
  assert "'base_model.model.model.layers.'" in found
