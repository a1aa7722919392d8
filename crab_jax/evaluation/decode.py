"""Held-out clips to answers: what the model says, a line a clip.

Clips of all datasets are decoded together, sorted by length, so that few
shapes are compiled; each answer goes to its dataset's file as soon as it is
there. A decoding that was stopped goes on: what a file holds is not decoded
again. A clip that cannot be read is written with its error: it counts as wrong.
"""

import json
import pathlib
from collections.abc import Iterable
from collections.abc import Iterator

import numpy as np
import tqdm

from crab_jax import array_types
from crab_jax import configs
from crab_jax.data import pipeline
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import masks
from crab_jax.evaluation import scores
from crab_jax.models import generate

FOLDER = "predictions"


def held_out(root: pathlib.Path, config: configs.Evaluation) -> dict[str, str]:
  """Task -> the split to decode: test, or val where there is no test."""
  found = {}
  for task, splits in records.splits(root).items():
    if config.tasks is not None and task not in config.tasks:
      continue
    held = [name for name in ("test", "val") if splits.get(name)]
    if held:
      found[task] = held[0]
  return found


def read(
  root: pathlib.Path, config: configs.Evaluation
) -> list[records.Record]:
  """The records to decode, at most `config.limit` of each dataset."""
  chosen = []
  for task, split in held_out(root, config).items():
    rows = records.read_split(root, task, split)
    chosen += [
      record
      for index, record in enumerate(rows)
      if config.limit is None or index < config.limit
    ]
  return chosen


def row(record: records.Record, text: str | None, error: str | None) -> dict:
  """The line of one clip, not yet parsed or scored."""
  reference = dict(record.reference)
  if record.mask:
    reference["mask"] = masks.to_rle(masks.from_png(record.mask))
  return {
    "id": record.id,
    "task": record.task,
    "prompt": record.question.get("question", ""),
    "question": record.question,
    "text": text,
    "reference": reference,
    "error": error,
  }


class Answerer:
  """Says what a model answers to the prompt of each record."""

  def __init__(
    self,
    model: configs.Model,
    params: array_types.Tree,
    maker: samples.SampleMaker,
    tokenizer: tokenizers.Tokenizer,
    config: configs.Evaluation,
  ):
    sampling = generate.Sampling(
      max_new_tokens=config.max_new_tokens, stop_tokens=(tokenizer.end,)
    )
    self._generator = generate.Generator(model, sampling)
    self._params = params
    self._maker = maker
    self._tokenizer = tokenizer
    self._batch = config.batch

  def answers(self, chosen: Iterable[records.Record]) -> Iterator[dict]:
    """Rows for all records, shortest prompts first; failed ones too."""
    batches = pipeline.prompt_batches(chosen, self._maker, self._batch)
    for batch_records, batch, failed in batches:
      if batch is not None:
        found = self._generator(self._params, batch)
        tokens, lengths = np.asarray(found.tokens), np.asarray(found.lengths)
        for index, record in enumerate(batch_records):
          ids = tokens[index, : lengths[index]]
          yield row(record, self._tokenizer.decode(ids).strip(), None)
      for record, reason in failed:
        yield row(record, None, reason)


def decode(
  answerer: Answerer, chosen: list[records.Record], folder: pathlib.Path
) -> None:
  """Writes `{folder}/{task}.jsonl` for all records not answered yet."""
  folder.mkdir(parents=True, exist_ok=True)
  done = set()
  for task in {record.task for record in chosen}:
    path = folder / f"{task}.jsonl"
    if path.exists():
      rows = scores.read_rows(path)
      _rewrite(path, rows)
      done |= {line["id"] for line in rows}
  left = [record for record in chosen if record.id not in done]
  bar = tqdm.tqdm(
    total=len(chosen), initial=len(chosen) - len(left), desc="evaluate"
  )
  files = {name: (folder / f"{name}.jsonl").open("a") for name in _tasks(left)}
  try:
    for line in answerer.answers(left):
      file = files[line["task"]]
      file.write(json.dumps(line, ensure_ascii=False) + "\n")
      file.flush()
      bar.update()
  finally:
    for file in files.values():
      file.close()
    bar.close()


def _tasks(chosen: list[records.Record]) -> list[str]:
  names = {record.task for record in chosen}
  return [name for name in tasks.BY_NAME if name in names]


def _rewrite(path: pathlib.Path, rows: list[dict]) -> None:
  """Drops a last line that was cut off, so that appending is safe."""
  new = path.with_suffix(".incomplete")
  text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in rows)
  new.write_text(text)
  new.rename(path)
