"""How many samples a second one core prepares, stage by stage.

Each stage is the function of the pipeline itself, on real records, timed in
processor seconds of one thread: so the figures hold also on a busy machine. The
whole pipeline is timed beside, with its threads, its mixture and its packing.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import encodings
from crab_jax.data import packing
from crab_jax.data import pipeline
from crab_jax.data import prepared_records
from crab_jax.data import prompts
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import sources
from crab_jax.data import tokenizer as tokenizers
from crab_jax.paradigms import front


@dataclasses.dataclass(frozen=True)
class Throughput:
  """What was measured.

  Attributes:
    samples: that went through every stage.
    stages: stage -> processor milliseconds a sample.
    stage_rate: samples a second of one core, all stages one after the other.
    pipeline_rate: samples a second of one core, of the whole pipeline.
    pipeline_wall_rate: samples a second of the clock, with its threads.
    useful: share of the rows' tokens that are no padding.
  """

  samples: int
  stages: dict[str, float]
  stage_rate: float
  pipeline_rate: float
  pipeline_wall_rate: float
  useful: float


def tokenizer_of(
  prepared: prepared_records.Prepared, data: configs.Data, model: configs.Model
) -> tokenizers.Tokenizer:
  """The configured tokenizer, or one trained on the records as `train` does."""
  grammar = front.of(model).grammar
  if data.tokenizer is not None:
    return tokenizers.load(data.tokenizer, grammar)
  wording = prompts.load(data.prompts, prepared.table)
  found = (
    record
    for task in prepared.splits()
    for record in records.read_split(prepared.root, task, "train")
  )
  texts = samples.training_texts(found, wording, grammar)
  return tokenizers.train(texts, model.decoder.vocabulary, grammar)


def _chosen(
  prepared: prepared_records.Prepared, stage: configs.Stage, count: int
) -> list[tuple[sources.RecordSource, int]]:
  """(source, index) of `count` records, evenly over the mixture's datasets."""
  parts = list(sources.open_mixture(prepared, "train", stage.mixture).values())
  turns = (
    (part, index % len(part)) for index in itertools.count() for part in parts
  )
  return list(itertools.islice(turns, count))


def _timed(work: Callable[[Any], Any], items: Iterable) -> tuple[float, list]:
  """Processor seconds of this thread, and the results."""
  # Processor time of this thread: other processes do not change it.
  start = time.thread_time()
  done = [work(item) for item in items]
  return time.thread_time() - start, done


def _stages(
  chosen: list, maker: samples.SampleMaker, rows: configs.Rows
) -> dict[str, float]:
  """Stage -> processor seconds of all records."""
  vision, audio = maker.model.vision, maker.model.audio
  family = front.of(maker.model)
  seconds = {}
  seconds["read"], found = _timed(lambda key: key[0][key[1]], chosen)
  seconds["images"], _ = _timed(
    lambda record: family.vision_units(record.frames, vision), found
  )
  seconds["audio"], waves = _timed(
    lambda record: encodings.decode_audio(record.audio), found
  )
  pieces = [samples.audio_pieces(maker.table[r.task]) for r in found]
  seconds["mel"], _ = _timed(
    lambda part: family.audio_units(part[0], audio, part[1]),
    list(zip(waves, pieces, strict=True)),
  )
  whole, made = _timed(maker.train, found)
  # The rest of making a sample: chat template, tokens, labels, positions.
  # `maker.train` decodes the media again, so their time is subtracted.
  media = seconds["images"] + seconds["audio"] + seconds["mel"]
  seconds["text"] = max(whole - media, 0.0)
  seconds["packing"], _ = _timed(lambda part: _pack(part, maker, rows), [made])
  return seconds


def _pack(
  made: list[samples.Sample], maker: samples.SampleMaker, rows: configs.Rows
) -> None:
  packer = packing.Packer(rows)
  full = [packer.add(sample, packing.sizes(sample)) for sample in made]
  while (row := packer.pop()) is not None:
    full.append(row)
  layout = packing.Layout(1, rows, maker.model, maker.chat.tokenizer.pad)
  for row in full:
    if row is not None:
      layout.stack([row])


def _pipeline(
  prepared: prepared_records.Prepared,
  tokenizer: tokenizers.Tokenizer,
  data: configs.Data,
  model: configs.Model,
  stage: configs.Stage,
  count: int,
) -> dict[str, float]:
  """Rates of the loader of training, in this process."""
  # Worker processes would not appear in this process's processor time.
  data = dataclasses.replace(data, workers=0)
  loader = pipeline.train_loader(
    prepared, tokenizer, data, model, stage.rows, mixture=stage.mixture,
    targets=stage.targets,
  )  # fmt: skip
  try:
    # The first batch also fills the queue of waiting samples.
    next(loader)
    clock, work = time.perf_counter(), time.process_time()
    found, useful, tokens = 0, 0, 0
    while found < count:
      batch = next(loader)
      found += int((batch["sample_ids"][..., 0] >= 0).sum())
      used = batch["segments"] > 0
      useful, tokens = useful + int(used.sum()), tokens + used.size
    clock, work = time.perf_counter() - clock, time.process_time() - work
  finally:
    loader.close()
  return {
    "pipeline_rate": found / work,
    "pipeline_wall_rate": found / clock,
    "useful": useful / tokens,
  }


def measure(
  prepared: prepared_records.Prepared,
  data: configs.Data,
  model: configs.Model,
  stage: configs.Stage,
  count: int,
) -> Throughput:
  """Times the input pipeline of a stage on prepared records.

  Args:
    prepared: the records.
    data: how they are read.
    model: sizes of frames, chunks and vocabulary.
    stage: mixture, targets and rows.
    count: samples to time.

  Raises:
    UserError: no records, or one of them does not decode or does not fit.
  """
  tokenizer = tokenizer_of(prepared, data, model)
  maker = samples.sample_maker(
    tokenizer, data, model, prepared.table, stage.targets
  )
  chosen = _chosen(prepared, stage, count)
  try:
    maker.train(chosen[0][0][chosen[0][1]])  # builds filters and templates
    seconds = _stages(chosen, maker, stage.rows)
  except samples.SampleError as error:
    raise errors.UserError(f"{prepared}: {error}") from error
  return Throughput(
    samples=count,
    stages={name: 1000 * value / count for name, value in seconds.items()},
    stage_rate=count / float(np.sum(list(seconds.values()))),
    **_pipeline(prepared, tokenizer, data, model, stage, count),
  )


def lines(found: Throughput) -> list[str]:
  """The measurement, for people."""
  total = sum(found.stages.values())
  rows = [
    f"  {name:<10} {value:8.3f} ms a sample  {value / total:6.1%}"
    for name, value in found.stages.items()
  ]
  return [
    f"input pipeline, {found.samples} samples, processor time of one core",
    *rows,
    f"  stages one after the other {found.stage_rate:8.1f} samples/s a core",
    f"  the whole pipeline         {found.pipeline_rate:8.1f} samples/s a core,"
    f" {found.pipeline_wall_rate:.1f} by the clock",
    f"  useful tokens              {found.useful:8.1%} of the rows",
  ]
