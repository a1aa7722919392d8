"""The table against the model's tree and the spec's counts."""

import flax.traverse_util
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.paradigms import thinker
from crab_jax.paradigms.qwen2_5_omni import names
from tests.weights import checkpoint_files

_FILES = vars(checkpoint_files)
_CHECKPOINT = names.CHECKPOINT


def _tree(model):
  tree = nn.meta.unbox(thinker.abstract(model))
  return flax.traverse_util.flatten_dict(tree, sep="/")


def test_table_is_the_checkpoint_and_nothing_else():
  layers = {"audio_tower": 2, "visual": 3, "model": 3, "lm_head": 1}
  made = {
    row.torch.format(layer)
    for row in _CHECKPOINT.rows
    for layer in range(layers[row.torch.split(".")[0]])
  }
  assert made == set(_FILES["shapes"]())


@pytest.mark.parametrize(
  ("model", "tensors", "parameters"),
  [
    # The checkpoint's counts, less audio_bos_eos_token [2, width].
    (configs.qwen2_5_omni_7b(), (488, 518, 338, 1), 8_931_813_888 - 7168),
    (configs.qwen2_5_omni_3b(), (488, 518, 434, 1), 4_703_464_448 - 4096),
  ],
)
def test_table_covers_the_tree(model, tensors, parameters):
  tree = _tree(model)
  assert {row.path for row in _CHECKPOINT.rows} == set(tree)
  counts = dict.fromkeys(("audio_tower", "visual", "model", "lm_head"), 0)
  for row in _CHECKPOINT.rows:
    layers = tree[row.path].shape[0] if row.stacked else 1
    counts[row.path.split("/")[0]] += layers
  assert tuple(counts.values()) == tensors
  assert sum(np.prod(leaf.shape) for leaf in tree.values()) == parameters


def test_adapted_modules_are_those_with_an_adapter():
  tree = _tree(configs.tiny(adapter=configs.ILora()))
  adapted = {p.removesuffix("/lora_A") for p in tree if p.endswith("/lora_A")}
  assert {path for _, path in _CHECKPOINT.adapted} == adapted
  towers = [module.split(".")[0] for module, _ in _CHECKPOINT.adapted]
  assert towers == ["audio_tower"] * 3 + ["visual"] * 3 + ["model"] * 7


@pytest.mark.parametrize("name", ["lm_head.weight", *_FILES["shapes"]()])
def test_three_generations_have_one_name(name):
  newest = _FILES["newest"](name)
  for form in (name, f"thinker.{name}", newest, f"thinker.{newest}"):
    assert _CHECKPOINT.canonical(form) == name


@pytest.mark.parametrize(
  "name",
  [
    "talker.model.embed_tokens.weight",
    "token2wav.code2wav_dit_model.norm_out.linear.bias",
    "thinker.audio_tower.audio_bos_eos_token.weight",
    "model.audio_tower.audio_bos_eos_token.weight",
  ],
)
def test_what_the_thinker_does_not_use_is_skipped(name):
  assert _CHECKPOINT.canonical(name) is None
