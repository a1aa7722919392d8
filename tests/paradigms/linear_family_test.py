"""A second family, of two rows in two tables, goes all the way."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.array_types import TokenKind
from crab_jax.data import packing
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import folder
from crab_jax.experiment import run
from crab_jax.paradigms import front
from crab_jax.paradigms import network
from crab_jax.paradigms import thinker
from crab_jax.planning import flops
from crab_jax.training import model_folder
from crab_jax.training import preemption
from tests.data import small_records
from tests.paradigms import linear_family

_SETS = ("avqa", "ave", "ms3")
_DECODER = dataclasses.replace(
  configs.tiny().decoder,
  layers=1,
  width=32,
  heads=2,
  kv_heads=1,
  head_size=16,
  mlp=32,
  vocabulary=512,
  rope_sections=(8, 0, 0),  # one axis
  qkv_bias=False,
  norm_epsilon=1e-5,
)
_MODEL = configs.tiny(
  vision=linear_family.Vision(),
  audio=linear_family.Audio(),
  decoder=_DECODER,
  adapter=configs.ILora(rank=2, heads=2, alpha=4.0, dropout=0.0),
)
_ROWS = configs.Rows(
  rows=2, tokens=512, frame_pairs=32, chunks=32, supervised=128, samples=8
)


@pytest.fixture(autouse=True)
def _tables(monkeypatch):
  """The two rows, and nothing else of the package."""
  vision = linear_family.Vision
  monkeypatch.setitem(front.FAMILIES, vision, linear_family.FRONT)
  monkeypatch.setitem(network.FAMILIES, vision, linear_family.NETWORK)


def _records(split: str) -> list:
  return [
    small_records.record(name, row, split) for name in _SETS for row in range(4)
  ]


def _maker() -> samples.SampleMaker:
  texts = ["a word of text. <answer>1</answer>"] * 4
  tokenizer = tokenizers.train(texts, 300, linear_family.GRAMMAR)
  return samples.sample_maker(
    tokenizer, small_records.DATA, _MODEL, tasks.Tasks()
  )


def test_samples_are_written_in_its_grammar_and_packed():
  maker = _maker()
  made = [maker.train(record) for record in _records("train")[:3]]
  sample, ids = made[0], maker.chat.tokenizer.ids
  frames = len(_records("train")[0].frames)
  assert sample["frames"].shape == (frames, 1, 56, 56, 3)
  assert (sample["kinds"] == TokenKind.VISION).sum() == 3 * frames
  assert (sample["tokens"] == ids["[see]"]).sum() == 3 * frames
  heard = 2 * len(sample["mel_lengths"])
  assert (sample["tokens"] == ids["[hear]"]).sum() == heard
  # The answer alone is supervised, up to its end.
  answer = sample["labels"][sample["labels"] >= 0]
  text = maker.chat.tokenizer.decode(answer[:-1])
  assert (text, answer[-1]) == (_records("train")[0].target, ids["[end]"])
  # One axis: the three columns count the tokens.
  count = np.arange(len(sample["tokens"]))
  np.testing.assert_array_equal(
    sample["positions"], count[:, None].repeat(3, 1)
  )
  layout = packing.Layout(2, _ROWS, _MODEL, maker.chat.tokenizer.pad)
  batch = layout.stack([made[:2], made[2:]])
  assert batch["frames"].shape == (2, 32, 1, 56, 56, 3)
  kinds, source = batch["kinds"][0], batch["source"][0]
  seen = source[kinds == TokenKind.VISION]
  np.testing.assert_array_equal(seen, np.arange(len(seen)))
  first = 32 * 3  # behind the tokens of all vision units
  heard = source[kinds == TokenKind.AUDIO]
  np.testing.assert_array_equal(heard, first + np.arange(len(heard)))


def test_its_parameters_have_its_names_and_groups():
  tree = nn.meta.unbox(thinker.abstract(_MODEL))
  assert set(tree) == {"hearer", "seer", "model", "lm_head"}
  family = network.of(_MODEL)
  assert family.group("seer/proj/kernel") == "projectors"
  assert network.label("seer/proj/kernel") == "vision encoder"
  assert set(tree["model"]["layers"]["self_attn"]["q_proj"]) == {
    "kernel", "lora_A", "lora_B", "lora_route"
  }  # fmt: skip


def test_it_is_planned():
  count = flops.train_step(_MODEL, _ROWS, "all")
  products = 32 * 3 * 3 * 32 + 32 * 5 * 4 * 2 * 32
  assert count.towers == 3 * 2 * products * _ROWS.rows
  assert flops.prefill(_MODEL, _ROWS).towers == 2 * products * _ROWS.rows


@pytest.mark.slow
def test_it_trains_generates_and_comes_back(tmp_path):
  """The smoke run: two stages, answers to held-out clips, a report."""
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
    for name, trains in (("backbone", "all"), ("tuning", "adapter"))
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
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
  assert losses and np.isfinite(losses).all()
  saved = json.loads((workdir / "base" / "model.json").read_text())
  assert saved["family"] == "linear"
  loaded = folder.load(workdir / "base", workdir / "adapter")
  assert loaded.config == _MODEL
  assert loaded.tokenizer.grammar == linear_family.GRAMMAR
  assert model_folder.load_config(workdir / "base").vision == _MODEL.vision
  assert jax.tree.leaves(loaded.params)
