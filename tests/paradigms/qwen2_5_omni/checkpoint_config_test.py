"""config.json: what is honoured, what is refused and by which name."""

import copy

import pytest

from crab_jax.paradigms.qwen2_5_omni import checkpoint_config
from crab_jax.paradigms.qwen2_5_omni import checkpoint_keys
from tests.weights import checkpoint_files


def _read(part=None, **changes):
  fields = copy.deepcopy(checkpoint_files.CONFIG)
  thinker = fields["thinker_config"]
  (thinker if part is None else thinker[part]).update(changes)
  return checkpoint_config.read(fields, "float32")


_SECTIONS = {"mrope_section": [1, 1, 1]}


@pytest.mark.parametrize(
  ("part", "changes", "ours", "value"),
  [
    ("text_config", {"rms_norm_eps": 1e-5}, "decoder.norm_epsilon", 1e-5),
    ("text_config", {"num_key_value_heads": None}, "decoder.kv_heads", 4),
    (
      "text_config",
      {"head_dim": 8, "rope_scaling": {"mrope_section": [2, 1, 1]}},
      "decoder.head_size",
      8,
    ),
    ("text_config", {"head_dim": None}, "decoder.head_size", 6),
    ("text_config", {"max_position_embeddings": 99}, "decoder.context", 99),
    # The older key wins, as in transformers.
    (
      "text_config",
      {
        "rope_scaling": {**_SECTIONS, "type": "mrope"},
        "rope_parameters": {**_SECTIONS, "rope_theta": 3.0},
      },
      "decoder.rope_theta",
      1e4,
    ),
    (
      "text_config",
      {"rope_scaling": None, "rope_parameters": {**_SECTIONS, "rope_theta": 3}},
      "decoder.rope_theta",
      3.0,
    ),
    ("audio_config", {"n_window": 30}, "audio.unit_frames", 60),
    ("audio_config", {"num_hidden_layers": 2}, "audio.layers", 2),
    ("vision_config", {"fullatt_block_indexes": []}, "vision.full_blocks", ()),
    (
      "vision_config",
      {"fullatt_block_indexes": [31, 2, 0, 2]},
      "vision.full_blocks",
      (0, 2),
    ),
    ("vision_config", {"window_size": 56}, "vision.window", 56),
    (None, {"position_id_per_seconds": 50}, "position_rate", 50.0),
    (None, {}, "position_rate", 25.0),
    (None, {"position_id_per_seconds": 25}, "positions_per_second", None),
  ],
)
def test_honoured(part, changes, ours, value):
  found = _read(part, **changes).model
  for name in ours.split("."):
    found = getattr(found, name)
  assert found == value


@pytest.mark.parametrize("kind", ["yarn", "linear", "dynamic", "llama3", None])
@pytest.mark.parametrize("field", ["type", "rope_type"])
@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_scaled_positions_are_refused(key, field, kind):
  changes = {"rope_scaling": None, key: {**_SECTIONS, field: kind}}
  with pytest.raises(ValueError, match=f"^{field} of {key} of text_config is"):
    _read("text_config", **changes)


@pytest.mark.parametrize("kind", ["default", "mrope"])
@pytest.mark.parametrize("field", ["type", "rope_type"])
def test_unscaled_positions_have_two_names(field, kind):
  plain = _read("text_config", rope_scaling=_SECTIONS)
  assert _read("text_config", rope_scaling={**_SECTIONS, field: kind}) == plain


_SIZES = {
  "audio_config": ("d_model", "encoder_layers", "n_window", "num_mel_bins"),
  "vision_config": (
    "depth",
    "num_heads",
    "patch_size",
    "spatial_merge_size",
    "temporal_patch_size",
    "window_size",
  ),
  "text_config": ("hidden_size", "num_attention_heads", "vocab_size"),
}


@pytest.mark.parametrize("value", [0, -112, 1.5, True, "8", [8, 8], None])
@pytest.mark.parametrize(
  ("part", "key"), [(part, key) for part in _SIZES for key in _SIZES[part]]
)
def test_no_size_is_refused_by_name(part, key, value):
  with pytest.raises(ValueError, match=f"{key} of {part} is .* no positive"):
    _read(part, **{key: value})


@pytest.mark.parametrize(
  ("part", "changes", "named"),
  [
    ("audio_config", {"max_source_positions": 10}, "max_source_positions"),
    ("text_config", {"layer_types": ["sliding_attention"] * 3}, "layer_types"),
    ("text_config", {"quantization_config": {"bits": 4}}, "quantization"),
    ("text_config", {"per_layer_config": {"0": {}}}, "per_layer_config"),
    ("text_config", {"rope_theta": "big"}, "rope_theta"),
    ("text_config", {"rope_theta": 0}, "rope_theta"),
    ("text_config", {"rms_norm_eps": 0.0}, "norm_epsilon"),
    ("text_config", {"rope_scaling": {"mrope_section": [1, 2]}}, "sections"),
    ("text_config", {"rope_scaling": {"factor": 4.0}}, "factor of rope_sca"),
    ("text_config", {"rope_scaling": "yarn"}, "rope_scaling"),
    ("vision_config", {"rope_theta": 1e6}, "rope_theta of vision_config"),
    ("vision_config", {"rope_scaling": {"type": "yarn"}}, "type of rope"),
    ("vision_config", {"head_dim": 12}, "head_dim of vision_config"),
    ("vision_config", {"fullatt_block_indexes": 7}, "fullatt_block_indexes"),
    ("vision_config", {"fullatt_block_indexes": [1.5]}, "fullatt_block_ind"),
    ("vision_config", {"num_hidden_layers": 2}, "depth of vision_config is 3"),
    (None, {"position_id_per_seconds": 0}, "positions_per_second"),
    (None, {"position_id_per_seconds": "25"}, "position_id_per_seconds"),
    (None, {"audio_config": [1]}, "audio_config"),
  ],
)
def test_refused_by_name(part, changes, named):
  with pytest.raises((ValueError, TypeError), match=named):
    _read(part, **changes)


def test_who_ties():
  tied = {"tie_word_embeddings": True}
  assert not _read().tied
  assert _read(**tied).tied
  assert _read("text_config", **tied).tied  # where the thinker says nothing
  fields = copy.deepcopy(checkpoint_files.CONFIG)
  fields["thinker_config"]["tie_word_embeddings"] = False
  fields["thinker_config"]["text_config"].update(tied)
  assert not checkpoint_config.read(fields, "float32").tied


def test_another_family_is_not_recognised():
  fields = {**checkpoint_files.CONFIG, "model_type": "qwen3_omni_moe"}
  assert not checkpoint_config.recognises(fields)
  assert checkpoint_config.recognises(checkpoint_files.CONFIG)


def test_written_and_read_again():
  model = _read(
    "text_config",
    rms_norm_eps=1e-5,
    head_dim=8,
    rope_scaling={"mrope_section": [2, 1, 1]},
  ).model
  again = checkpoint_config.read(checkpoint_config.write(model), "float32")
  assert (again.model, again.notes, again.tied) == (model, (), False)


_OTHER = {
  "num_key_value_heads": 4,
  "head_dim": 10,
  "position_id_per_seconds": 50,
  "rms_norm_eps": 1e-5,
  "rope_theta": 5e3,
  "tie_word_embeddings": True,
  "layer_types": ["sliding_attention"],
  "max_source_positions": 3,
  "fullatt_block_indexes": [0],
  "window_size": 56,
  "spatial_merge_size": 4,
  "n_window": 30,
  "rope_scaling": {"mrope_section": [3, 0, 0]},
}


@pytest.mark.parametrize(
  ("part", "key"),
  [
    (part, key)
    for part, keys in checkpoint_keys.READ.items()
    for key in keys
    if part != "config" and key not in (*checkpoint_keys.PARTS, "model_type")
  ],
)
def test_every_key_that_is_read_changes_something_or_is_refused(part, key):
  part = None if part == checkpoint_keys.THINKER else part
  value = _OTHER.get(key, 77)
  rest = {}
  if key == "rope_parameters":
    value, rest = {"rope_theta": 5e3}, {"rope_scaling": None}
  if key == "rope_scaling" and part == "vision_config":
    value = {"rope_theta": 5e3}
  try:
    assert _read(part, **{key: value}, **rest) != _read(part)
  except ValueError as error:
    assert str(error)
