"""config.json: sizes, defaults, and networks that are not ours."""

import copy
import json
import pathlib
import runpy

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.weights import hf_config

files = runpy.run_path(
  str(pathlib.Path(__file__).with_name("checkpoint_files.py"))
)


def _read(folder, fields):
  (folder / "config.json").write_text(json.dumps(fields))
  return hf_config.read(folder, "bfloat16")


def test_absent_fields_are_those_of_the_7b(tmp_path):
  """But for the vision width, whose default in transformers is no model's."""
  fields = {
    "audio_config": {},
    "vision_config": {"hidden_size": 1280},
    "text_config": {},
  }
  assert _read(tmp_path, fields) == configs.qwen2_5_omni_7b()


def test_3b(tmp_path):
  fields = {
    "thinker_config": {
      "audio_config": {"output_dim": 2048},
      "vision_config": {"hidden_size": 1280, "out_hidden_size": 2048},
      "text_config": {
        "num_hidden_layers": 36,
        "hidden_size": 2048,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "intermediate_size": 11008,
        "vocab_size": 151936,
        "rope_parameters": {
          "rope_type": "default",
          "rope_theta": 1e6,
          "mrope_section": [16, 24, 24],
        },
      },
    }
  }
  assert _read(tmp_path, fields) == configs.qwen2_5_omni_3b()


@pytest.mark.parametrize(
  ("part", "field", "value"),
  [
    ("text_config", "hidden_act", "gelu"),
    ("text_config", "use_sliding_window", True),
    ("text_config", "rope_scaling", {"rope_type": "yarn"}),
    ("text_config", "num_attention_heads", 5),
    ("text_config", "num_hidden_layers", "three"),
    ("audio_config", "output_dim", 25),
    ("audio_config", "activation_function", "relu"),
    ("vision_config", "out_hidden_size", 25),
    ("vision_config", "window_size", 100),
    ("vision_config", "in_channels", 1),
    ("vision_config", "rope_parameters", {"rope_theta": 1e6}),
  ],
)
def test_another_network_is_refused(tmp_path, part, field, value):
  fields = copy.deepcopy(files["CONFIG"])
  fields["thinker_config"][part][field] = value
  culprit = (
    rf"config\.json: .*({field}|rope_type|Decoder|VisionTower|rope_theta)"
  )
  with pytest.raises(errors.UserError, match=culprit):
    _read(tmp_path, fields)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"thinker_config": 3}'])
def test_damaged_file(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(errors.UserError, match=r"config\.json"):
    hf_config.read(tmp_path, "bfloat16")


def test_missing_file(tmp_path):
  with pytest.raises(errors.UserError, match=r"config\.json is missing"):
    hf_config.read(tmp_path, "bfloat16")
