"""Scales and ranks of modules, as PEFT picks them."""

import json
import math

import pytest

from crab_jax import errors
from crab_jax.weights import peft_settings


def _read(tmp_path, **fields):
  path = tmp_path / peft_settings.FILE
  path.write_text(json.dumps({"r": 8, "lora_alpha": 16, **fields}))
  return peft_settings.read(path)


def test_scales(tmp_path):
  assert _read(tmp_path).scale() == 2
  assert _read(tmp_path, use_rslora=True).scale() == 16 / math.sqrt(8)


def test_the_first_pattern_that_the_end_of_a_name_matches(tmp_path):
  found = _read(
    tmp_path,
    rank_pattern={"up_proj": 4, r"1\\.mlp\\.up_proj": 2, "proj": 1},
    alpha_pattern={"1.mlp.up_proj": 3},
  )
  assert [found.rank(f"a.{i}.mlp.up_proj") for i in (0, 1)] == [4, 4]
  assert found.rank("a.0.mlp.x_proj") == 8  # the end is not "proj" alone
  assert found.scale("a.0.mlp.up_proj") == 4
  assert found.scale("a.1.mlp.up_proj") == 0.75


@pytest.mark.parametrize("pattern", [["q"], {"q(": 2}, {"q": 0}])
def test_no_pattern(tmp_path, pattern):
  with pytest.raises(errors.UserError, match="rank_pattern is .* no such"):
    _read(tmp_path, rank_pattern=pattern)
