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
