"""The family goes all the way on records that another family can read too."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.array_types import TokenKind
from crab_jax.data import packing
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import folder
from crab_jax.experiment import run
from crab_jax.paradigms.encoder_projector import grammar
from crab_jax.training import model_folder
from crab_jax.training import preemption
from tests.data import small_records

_SETS = ("avqa", "ave", "ms3")
_TINY = configs.tiny_clip_beats()
_MODEL = dataclasses.replace(
  _TINY,
  audio=dataclasses.replace(_TINY.audio, layers=1),
  vision=dataclasses.replace(
    _TINY.vision, layers=1, frame_size=small_records.MODEL.vision.frame_size
  ),
  decoder=dataclasses.replace(_TINY.decoder, layers=1, vocabulary=512),
  adapter=configs.ILora(rank=2, heads=2, alpha=4.0, dropout=0.0),
)
_ROWS = configs.Rows(
  rows=2, tokens=768, frame_pairs=32, chunks=32, supervised=128, samples=8
)


def _records(split: str) -> list:
  return [
    small_records.record(name, row, split) for name in _SETS for row in range(4)
  ]


def test_samples_are_written_in_its_grammar_and_packed():
  texts = ["This is a video. <answer>1</answer>"] * 4
  tokenizer = tokenizers.train(texts, 400, grammar.LLAMA2)
  maker = samples.sample_maker(
    tokenizer, small_records.DATA, _MODEL, tasks.Tasks()
  )
  records = _records("train")
  made = [maker.train(record) for record in records[:3]]
  sample, ids = made[0], tokenizer.ids
  frames, size = len(records[0].frames), _MODEL.vision.frame_size
  assert sample["frames"].shape == (frames, 1, size, size, 3)
  assert (sample["kinds"] == TokenKind.VISION).sum() == 4 * frames
  assert (sample["tokens"] == ids["<video>"]).sum() == 4 * frames
  # Ten windows of a sixtieth-cut clip, a unit each.
  assert len(sample["mel_lengths"]) == 10
  assert (sample["tokens"] == ids["<audio>"]).sum() == 2 * 10
  answer = sample["labels"][sample["labels"] >= 0]
  assert tokenizer.decode(answer[:-1]) == records[0].target
  assert answer[-1] == ids["</s>"]
  count = np.arange(len(sample["tokens"]))
  np.testing.assert_array_equal(
    sample["positions"], count[:, None].repeat(3, 1)
  )
  lengths = maker.prompt_lengths(records[0])
  assert (lengths.pairs, lengths.chunks) == (frames, 10)
  layout = packing.Layout(2, _ROWS, _MODEL, tokenizer.pad)
  batch = layout.stack([made[:1], made[1:]])
  first = 32 * 4  # behind the tokens of all vision units
  heard = batch["source"][0][batch["kinds"][0] == TokenKind.AUDIO]
  np.testing.assert_array_equal(heard, first + np.arange(20))


@pytest.mark.slow
def test_it_trains_in_groups_generates_and_comes_back(tmp_path):
  """Three stages, answers to held-out clips, a report, a second start."""
  records, workdir = tmp_path / "records", tmp_path / "run"
  found = _records("train") + _records("val") + _records("test")
  small_records.write(records, found)
  stages = [
    configs.Stage(
      name=name,
      trains=trains,
      steps=2,
      mixture=dict.fromkeys(_SETS, 1.0),
      rows=dataclasses.replace(_ROWS, rows=jax.device_count()),
    )
    for name, trains in (
      ("projectors", ("projectors", "boundary")),
      ("tuning", ("projectors", "adapter")),
    )
  ]
  experiment = configs.Experiment(
    model=_MODEL,
    stages=stages,
    data=small_records.DATA,
    records=str(records),
    evaluation=configs.Evaluation(
      batch=2, max_new_tokens=4, limit=1, tasks=("avqa",)
    ),
    compiled="off",
  )
  with preemption.Handler() as handler:
    run.run(experiment, workdir, "", handler=handler)
  report = json.loads((workdir / "report.json").read_text())
  assert set(report["tasks"]) == {"avqa"}
  saved = json.loads((workdir / "base" / "model.json").read_text())
  assert saved["family"] == "encoder_projector"
  loaded = folder.load(workdir / "base", workdir / "adapter")
  assert loaded.config == _MODEL
  assert loaded.tokenizer.grammar == grammar.LLAMA2
  assert model_folder.load_config(workdir / "base").audio == _MODEL.audio
