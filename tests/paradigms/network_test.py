"""The tables of families: groups of parameters, labels, misfits."""

import collections
import dataclasses

import flax.traverse_util
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.paradigms import front
from crab_jax.paradigms import network
from crab_jax.paradigms import thinker


def test_both_tables_know_the_same_families():
  assert front.FAMILIES.keys() == network.FAMILIES.keys()


def test_every_parameter_is_of_a_group():
  model = configs.tiny(adapter=configs.ILora(targets="lm+towers"))
  tree = nn.meta.unbox(thinker.abstract(model))
  family, found = network.of(model), collections.defaultdict(set)
  for path in flax.traverse_util.flatten_dict(tree, sep="/"):
    found[family.group(path)].add("/".join(path.split("/")[:2]))
  assert found["projectors"] == {"audio_tower/proj", "visual/merger"}
  assert {"visual/blocks", "audio_tower/layers"} < found["towers"]
  assert found["lm"] == {
    "model/embed_tokens", "model/layers", "model/norm", "lm_head/kernel"
  }  # fmt: skip


def test_a_group_ends_where_a_name_ends():
  family = network.of(configs.tiny())
  assert family.group("audio_tower/projection/kernel") == "towers"


def test_labels():
  labels = [network.label(f"{top}/x") for top in ("visual", "audio_tower")]
  assert labels == ["vision tower", "audio tower"]
  assert network.label("model/layers/x") == "language model"


def test_encoders_of_no_family_are_an_error():
  @dataclasses.dataclass(frozen=True)
  class Other(configs.VisionTower):
    """Of a class that no table has."""

  with pytest.raises(errors.UserError, match="Model.vision=Other .*qwen2_5_om"):
    front.of(configs.tiny(vision=Other()))
