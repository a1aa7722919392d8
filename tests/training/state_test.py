"""What trains is data: the label tree, split and merge."""

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.paradigms import thinker
from crab_jax.training import optim
from crab_jax.training import state

_PARAMS = {
  "model": {"q_proj": {"kernel": np.ones((2, 3)), "lora_A": np.ones((2, 1))}},
  "visual": {"lora_like": {"bias": np.ones(3)}},
}


def test_only_the_leafs_own_name_decides():
  assert state.labels(_PARAMS, "adapter") == {
    "model/q_proj/kernel": "frozen",
    "model/q_proj/lora_A": "train",
    "visual/lora_like/bias": "frozen",
  }
  assert state.labels(_PARAMS, "all") == {
    "model/q_proj/kernel": "train",
    "model/q_proj/lora_A": "frozen",
    "visual/lora_like/bias": "train",
  }


def test_merge_undoes_split():
  trained, frozen = state.split(_PARAMS, "adapter")
  assert list(trained["model"]["q_proj"]) == ["lora_A"]
  merged = state.merge(trained, frozen)
  assert state.labels(merged, "all") == state.labels(_PARAMS, "all")


def test_merge_refuses_a_leaf_twice():
  with pytest.raises(ValueError, match="model/q_proj/kernel"):
    state.merge(_PARAMS, _PARAMS)


def test_masters_are_float32():
  params = {"a": {"lora_A": jnp.ones(3, jnp.bfloat16)}}
  made = state.create(params, optim.optimizer(configs.Optimizer(), 10))
  assert made.params["a"]["lora_A"].dtype == jnp.float32


def test_description_counts_each_subtree():
  text = state.describe(_PARAMS, "adapter")
  assert "model   train             2  frozen               6" in text


def test_groups_of_a_family_train_alone():
  model = configs.tiny_clip_beats(adapter=configs.ILora(targets="lm"))
  params = nn.meta.unbox(thinker.abstract(model))

  def tops(trains):
    trained = state.split(params, trains)[0]
    flat = flax.traverse_util.flatten_dict(trained, sep="/")
    return {"/".join(path.split("/")[:2]) for path in flat}

  assert tops("projectors") == {"clip/projector", "beats/projector"}
  assert tops("boundary") == {"model/embed_tokens"}
  assert tops("towers") == {"clip/tower", "beats/tower"}
  assert tops(("boundary", "towers")) == tops("boundary") | tops("towers")
  assert tops("adapter") == {"model/layers"}
  lm = {"model/embed_tokens", "model/layers", "model/norm", "lm_head/kernel"}
  assert tops("lm") == lm
  assert tops("all") == lm | tops("towers") | tops("projectors")
  boundary = state.split(params, "boundary")[0]["model"]["embed_tokens"]
  assert set(boundary) == {"boundary"}


def test_the_model_of_a_stage():
  model = configs.tiny(adapter=configs.ILora(), frozen_dtype="int8")
  assert state.stage_model(model, "adapter") == model
  both = state.stage_model(model, ("projectors", "adapter"))
  assert (both.adapter, both.frozen_dtype) == (model.adapter, None)
  for trains in ("projectors", "all"):
    plain = state.stage_model(model, trains)
    assert plain.adapter is None and plain.frozen_dtype is None
