"""Folders of tiny models with random weights, for tests of commands."""

import dataclasses

from crab_jax import configs
from crab_jax.training import model_folder
from crab_jax.weights import adapter
from tests.data import small_records
from tests.models import random_parameters

CONFIG = configs.tiny(
  decoder=dataclasses.replace(
    configs.tiny().decoder, layers=1, vocabulary=512, context=400
  )
)


def released(layers: int = 1, **changes) -> configs.Model:
  """A tiny model with what the released ones have and no file says.

  Frames of 224 pixels, 25 audio tokens a second; a checkpoint in the layout of
  transformers becomes this model again.
  """
  tiny = configs.tiny()
  fields = {
    "audio": dataclasses.replace(tiny.audio, pool=2),
    "vision": dataclasses.replace(
      tiny.vision, frame_size=224, layers=1, full_blocks=(0,), mlp=128
    ),
    "decoder": dataclasses.replace(
      tiny.decoder, layers=layers, width=64, mlp=64, vocabulary=512
    ),
    "param_dtype": "bfloat16",
  }
  return dataclasses.replace(tiny, **{**fields, **changes})


def save_model(folder, params, config=CONFIG):
  """A model folder with a tokenizer."""
  tokenizer = folder.with_name("tokenizer.json")
  wording = [small_records.record("ave", row) for row in range(2)]
  small_records.small_tokenizer(wording).save(tokenizer)
  model_folder.save(folder, params, config, {"tokenizer.json": tokenizer})


def save_adapter(folder, base, rank=3, config=CONFIG):
  """An adapter of several heads for a base of these parameters."""
  lora = configs.ILora(rank=rank, heads=2, alpha=6.0)
  adapted = dataclasses.replace(config, adapter=lora)
  params = random_parameters.draw(adapted, b=0.1)
  adapter.save(folder, params, lora, adapter.fingerprint(base))
