"""The family goes all the way on records that another family can read too."""

import contextlib
import dataclasses
import json

import jax
import numpy as np
import pytest

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.array_types import TokenKind
from crab_jax.data import packing
from crab_jax.data import pipeline
from crab_jax.data import prepared_records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import folder
from crab_jax.experiment import run
from crab_jax.paradigms.encoder_projector import grammar
from crab_jax.training import losses as losses_lib
from crab_jax.training import meshed
from crab_jax.training import model_folder
from crab_jax.training import optim
from crab_jax.training import pmapped
from crab_jax.training import preemption
from crab_jax.training import state as state_lib
from tests.data import small_loader
from tests.data import small_records
from tests.models import random_parameters
from tests.paradigms.encoder_projector import small


def test_samples_are_written_in_its_grammar_and_packed():
  texts = ["This is a video. <answer>1</answer>"] * 4
  tokenizer = tokenizers.train(texts, 400, grammar.LLAMA2)
  maker = samples.sample_maker(
    tokenizer, small_records.DATA, small.MODEL, tasks.Tasks()
  )
  records = small.found("train")
  made = [maker.train(record) for record in records[:3]]
  sample, ids = made[0], tokenizer.ids
  frames, size = len(records[0].frames), small.MODEL.vision.frame_size
  assert sample["frames"].shape == (frames, 1, size, size, 3)
  assert (sample["kinds"] == TokenKind.VISION).sum() == 4 * frames
  assert (sample["tokens"] == ids["<video>"]).sum() == 4 * frames
  # Ten windows, a unit each.
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
  layout = packing.Layout(2, small.ROWS, small.MODEL, tokenizer.pad)
  batch = layout.stack([made[:1], made[1:]])
  first = 32 * 4  # behind the tokens of all vision units
  heard = batch["source"][0][batch["kinds"][0] == TokenKind.AUDIO]
  np.testing.assert_array_equal(heard, first + np.arange(20))


def test_one_preparation_feeds_both_families(tmp_path):
  """The same samples in the same order, each in its own units."""
  small_records.write(tmp_path, small.found("train"))
  records = prepared_records.read(tmp_path)
  seen = {}
  for model, kind in (
    (small.MODEL, small.tokenizer()),
    (small_records.MODEL, small_records.small_tokenizer(small.found("train"))),
  ):
    with contextlib.closing(
      pipeline.train_loader(
        records,
        kind,
        dataclasses.replace(small_records.DATA, shuffle_window=1),
        model,
        dataclasses.replace(small.ROWS, rows=1, samples=1, waiting=1),
        mixture=dict.fromkeys(small.SETS, 1.0),
      )
    ) as loader:
      batches = small_loader.take(loader, 9)
      assert not any(
        name in loader.counters()["skipped"] for name in small.SETS
      )
    units = batches[0]["frames"].shape[2:], batches[0]["mel"].shape[2:]
    seen[type(model.vision)] = (small_loader.ids(batches), units)
  (ours, here), (theirs, there) = seen.values()
  assert ours == theirs and len(set(ours)) > 6
  assert here == ((1, 56, 56, 3), (96, 64))
  assert there == ((2, 56, 56, 3), (200, 64))


class _Stop(preemption.Handler):
  """Asks for a stop after so many steps of a run."""

  def __init__(self, steps: int):
    super().__init__(exit_now=lambda _: None)
    self._left = steps

  @property
  def requested(self) -> bool:
    self._left -= 1
    return self._left < 0


def _experiment(records):
  """Two stages with groups of their own, and answers to held-out clips."""
  stages = [
    configs.Stage(
      name=name,
      trains=trains,
      steps=3,
      mixture=dict.fromkeys(small.SETS, 1.0),
      rows=dataclasses.replace(small.ROWS, rows=jax.device_count()),
    )
    for name, trains in (
      ("projectors", ("projectors", "boundary")),
      ("tuning", ("projectors", "adapter")),
    )
  ]
  return configs.Experiment(
    model=small.MODEL,
    stages=stages,
    data=small_records.DATA,
    records=str(records),
    saving=configs.Saving(every=1),
    logging=configs.Logging(every=1),
    evaluation=configs.Evaluation(
      batch=2, max_new_tokens=4, limit=1, tasks=("avqa",)
    ),
  )


@pytest.fixture(scope="module")
def records(tmp_path_factory):
  """A prepared folder."""
  folder = tmp_path_factory.mktemp("prepared") / "records"
  splits = ("train", "val", "test")
  small_records.write(folder, sum(map(small.found, splits), []))
  return folder


@pytest.fixture(scope="module")
def straight(records, tmp_path_factory):
  """The folder of a run that nothing stopped."""
  workdir = tmp_path_factory.mktemp("straight")
  with preemption.Handler() as handler:
    run.run(_experiment(records), workdir, "", handler=handler)
  return workdir


@pytest.mark.slow
def test_it_trains_in_groups_generates_and_comes_back(straight):
  report = json.loads((straight / "report.json").read_text())
  assert set(report["tasks"]) == {"avqa"}
  saved = json.loads((straight / "base" / "model.json").read_text())
  assert saved["family"] == "encoder_projector"
  loaded = folder.load(straight / "base", straight / "adapter")
  assert loaded.config == small.MODEL
  assert loaded.tokenizer.grammar == grammar.LLAMA2
  assert model_folder.load_config(straight / "base").audio == small.MODEL.audio


def _ended(workdir):
  """Parameters and losses at the end of a run."""
  loaded = folder.load(workdir / "base", workdir / "adapter")
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
  return loaded.params, losses


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_parameters(
  records, straight, tmp_path
):
  """Stopped in the stage of the adapter and the projectors."""
  experiment = _experiment(records)
  run.run(experiment, tmp_path, "", handler=_Stop(4))
  assert not (tmp_path / "adapter").exists()
  with preemption.Handler() as handler:
    run.run(experiment, tmp_path, "", handler=handler)
  (params, losses), (expected, wanted) = map(_ended, (tmp_path, straight))
  assert losses == wanted and len(losses) == 6
  jax.tree.map(np.testing.assert_array_equal, params, expected)


@pytest.mark.slow
def test_parts_on_several_devices_train_to_the_losses_of_pmap():
  rows = dataclasses.replace(small.ROWS, rows=8, tokens=64, supervised=8)
  rows = dataclasses.replace(rows, frame_pairs=2, chunks=2, samples=2)
  trains = ("projectors", "adapter")
  optimizer = optim.optimizer(configs.Optimizer(peak=1e-4), 8)
  params = random_parameters.draw(small.MODEL, b=0.02)
  trained, frozen = state_lib.split(params, trains)
  start = state_lib.create(trained, optimizer), frozen
  arguments = {
    "likelihood": losses_lib.likelihood(small.MODEL),
    "optimizer": optimizer,
    "tasks": 19,
  }
  mesh = configs.Mesh(strategy="mesh", data=2, fsdp=2, tensor=2)
  runners = (
    pmapped.PmapRunner(8, 1, **arguments),
    meshed.MeshRunner(8, 1, mesh=mesh, model=small.MODEL, **arguments),
  )
  found = []
  for runner in runners:
    state, rest = (runner.shard(jax.tree.map(np.copy, x)) for x in start)
    losses = []
    for step in range(8):
      batch = runner.shard_batch(batch_lib.random(small.MODEL, rows, seed=step))
      state, sums = runner.step(state, rest, batch, jax.random.key(1))
      losses.append(float(np.ravel(np.asarray(sums["loss"]))[0]))
    found.append(losses)
  # Float32 sums in another order, of losses near 6.
  np.testing.assert_allclose(found[1], found[0], rtol=0, atol=3e-6)
  assert len(set(found[0])) == 8
