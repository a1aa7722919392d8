"""Odd configurations that transformers saves convert to the same logits.

Every one differs from the released models where `checkpoint_config` reads a
key: sizes that do not divide as there, epsilon, tied embeddings, positions.
"""

import dataclasses
import json

import jax
import numpy as np
import pytest
import torch
import transformers

from crab_jax.experiment import conversion
from crab_jax.paradigms import thinker
from crab_jax.training import model_folder
from tests.parity import torch_thinker

_SAMPLES = [
  torch_thinker.sample(1, pairs=2, mel=(137,)),
  torch_thinker.sample(3),
]
# part (None: the thinker) -> changed keys.
_ODD = {
  "decoder": {
    "text_config": {
      "head_dim": 20,
      "rms_norm_eps": 1e-3,
      "num_key_value_heads": 3,
      "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 500.0,
        "mrope_section": [2, 5, 3],
      },
    },
    None: {"tie_word_embeddings": True},
  },
  "towers": {
    "audio_config": {"n_window": 30, "max_source_positions": 31},
    "vision_config": {"fullatt_block_indexes": [0, 9], "window_size": 28},
    None: {"position_id_per_seconds": 50},
  },
}


@pytest.fixture(scope="module", params=_ODD)
def base(request, tmp_path_factory):
  """A thinker of transformers and the folder that was converted from it."""
  fields = torch_thinker.config_of(torch_thinker.MODEL).to_dict()
  for part, changes in _ODD[request.param].items():
    (fields if part is None else fields[part]).update(changes)
  config = transformers.Qwen2_5OmniThinkerConfig(**fields)
  config._attn_implementation = "eager"
  torch.manual_seed(0)
  reference = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
  with torch.no_grad():
    for name, parameter in reference.named_parameters():
      if parameter.ndim == 1:
        parameter.normal_(1.0 if "norm" in name else 0.0, 0.2)
      else:
        parameter.normal_(0, parameter[0].numel() ** -0.5)
  folder = tmp_path_factory.mktemp(request.param)
  reference.save_pretrained(folder / "hf")
  conversion.convert_base(str(folder / "hf"), folder / "base")
  return reference.eval(), folder


def test_logits(base):
  reference, folder = base
  model = model_folder.load_config(folder / "base")
  vision = dataclasses.replace(model.vision, frame_size=112)
  model = dataclasses.replace(model, vision=vision)
  batch = torch_thinker.batch_of(reference, [[s] for s in _SAMPLES], model)
  net = thinker.Thinker(model)
  run = jax.jit(lambda p, b: net.apply({"params": p}, b, method="logits"))
  found = np.asarray(run(model_folder.load_params(folder / "base"), batch))
  with torch.no_grad():
    expected = reference(**torch_thinker.torch_inputs(_SAMPLES)).logits
  for row, theirs, sample in zip(found, expected, _SAMPLES, strict=True):
    count = len(sample.tokens)
    difference = np.abs(row[:count] - theirs[:count].numpy()).max()
    assert difference < torch_thinker.TOLERANCE


def test_scaled_positions_under_their_old_key_do_not_convert(base, tmp_path):
  """transformers computes another network from them."""
  _, folder = base
  fields = json.loads((folder / "hf" / "config.json").read_text())
  text = fields["text_config"]
  rope = text.pop("rope_parameters")
  text["rope_theta"] = rope["rope_theta"]
  text["rope_scaling"] = {"mrope_section": rope["mrope_section"]}
  text["rope_scaling"] |= {"type": "linear", "factor": 4.0}
  read = transformers.Qwen2_5OmniThinkerConfig(**fields)
  assert read.text_config.rope_parameters["rope_type"] == "linear"
  for path in (folder / "hf").iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  (tmp_path / "config.json").write_text(json.dumps(fields))
  with pytest.raises(Exception, match="type of rope_scaling of text_config"):
    conversion.convert_base(str(tmp_path), tmp_path / "out")
