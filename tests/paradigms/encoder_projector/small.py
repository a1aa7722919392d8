"""A model of the family that compiles fast, and what a run of it needs."""

import dataclasses

from crab_jax import array_types
from crab_jax import configs
from crab_jax.data import prompts
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.paradigms.encoder_projector import grammar
from crab_jax.training import model_folder
from crab_jax.training import state as state_lib
from crab_jax.weights import adapter
from tests.data import small_records
from tests.models import random_parameters

SETS = ("avqa", "ave", "ms3")
_TINY = configs.tiny_clip_beats()
MODEL = dataclasses.replace(
  _TINY,
  audio=dataclasses.replace(_TINY.audio, layers=1),
  vision=dataclasses.replace(
    _TINY.vision, layers=1, frame_size=small_records.MODEL.vision.frame_size
  ),
  decoder=dataclasses.replace(_TINY.decoder, layers=1, vocabulary=512),
  adapter=configs.ILora(rank=2, heads=2, alpha=4.0, dropout=0.0),
)
ROWS = configs.Rows(
  rows=2, tokens=768, frame_pairs=32, chunks=32, supervised=128, samples=8
)


def found(split: str) -> list[records.Record]:
  """Four records of each of the sets."""
  return [
    small_records.record(name, row, split) for name in SETS for row in range(4)
  ]


def tokenizer() -> tokenizers.Tokenizer:
  """Of LLaMA-2's grammar, trained on the records."""
  wording = prompts.load(None, tasks.Tasks())
  texts = samples.training_texts(found("train"), wording, grammar.LLAMA2)
  return tokenizers.train(texts, 400, grammar.LLAMA2)


def save(root) -> array_types.Tree:
  """Writes `model` and `adapter`, random, to a folder; returns parameters."""
  params = random_parameters.draw(MODEL, b=0.1)
  tuned, frozen = state_lib.split(params, "adapter")
  tokenizer().save(root / "tokenizer.json")
  files = {"tokenizer.json": root / "tokenizer.json"}
  plain = dataclasses.replace(MODEL, adapter=None)
  model_folder.save(root / "model", frozen, plain, files)
  lora = MODEL.required_adapter
  adapter.save(root / "adapter", tuned, lora, adapter.fingerprint(frozen))
  return params
