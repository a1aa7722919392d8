"""Every key of transformers' configuration classes has a known fate."""

import dataclasses

import pytest
import transformers

from crab_jax.paradigms.qwen2_5_omni import checkpoint_keys

_CLASSES = {
  "config": transformers.Qwen2_5OmniConfig,
  "thinker_config": transformers.Qwen2_5OmniThinkerConfig,
  **transformers.Qwen2_5OmniThinkerConfig.sub_configs,
}
# Keys of released files that no class declares any more.
_RELEASED = {
  "thinker_config": ("ignore_index", "init_std", "vision_start_token_id"),
  "audio_config": ("encoder_layerdrop", "num_hidden_layers", "init_std"),
  "vision_config": ("embed_dim", "in_chans", "tokens_per_second"),
  "text_config": ("init_std", "rope_scaling", "rope_theta", "torch_dtype"),
}


def _keys(kind):
  """All that the class declares, writes or reads under another name."""
  declared = {field.name for field in dataclasses.fields(kind)}
  return declared | set(kind().to_dict()) | set(kind.attribute_map)


@pytest.mark.parametrize("part", _CLASSES)
def test_every_key_of_transformers_is_known(part):
  """A key that a later version adds fails here: say what becomes of it."""
  found = [
    key
    for key in sorted(_keys(_CLASSES[part]))
    if not checkpoint_keys.is_known(part, key)
  ]
  assert found == []


@pytest.mark.parametrize("part", _CLASSES)
def test_generation_defaults_are_known(part):
  defaults = transformers.GenerationConfig._get_default_generation_params()
  keys = [*defaults, *_RELEASED.get(part, ())]
  assert [k for k in keys if not checkpoint_keys.is_known(part, k)] == []


@pytest.mark.parametrize("part", _CLASSES)
def test_aliases_are_transformers(part):
  """But for the names of token ids, none of which is read."""
  aliases = {
    key: name
    for key, name in _CLASSES[part].attribute_map.items()
    if not key.endswith("_token_id")
  }
  assert aliases == dict(checkpoint_keys.ALIASES.get(part, {}))


@pytest.mark.parametrize("part", _CLASSES)
def test_a_value_that_is_not_supported_is_refused_by_name(part):
  for key, values in checkpoint_keys.ONLY[part].items():
    for value in values:
      checkpoint_keys.check(part, {key: value})
    with pytest.raises(ValueError, match=f"{key} of {part} is 'odd'"):
      checkpoint_keys.check(part, {key: "odd"})


def test_what_is_not_taken_over_is_told():
  fields = {"dropout": 0.0, "attention_dropout": 0.1, "colour": "red"}
  dropout, unknown = checkpoint_keys.notes("audio_config", fields)
  assert dropout.startswith("attention_dropout of audio_config is 0.1")
  assert "colour='red'" in unknown


def test_another_name_of_a_key():
  fields = {"num_hidden_layers": 3, "num_heads": 2}
  found = checkpoint_keys.without_aliases("vision_config", fields)
  assert found == {"depth": 3, "num_heads": 2}
  fields["depth"] = 4
  with pytest.raises(ValueError, match="depth of vision_config is 4, and num"):
    checkpoint_keys.without_aliases("vision_config", fields)
