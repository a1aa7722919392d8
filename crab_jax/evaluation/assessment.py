"""The whole of an evaluation: decode held-out clips, score, report."""

import dataclasses
import datetime
import os
import pathlib
import platform

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax.data import pipeline
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import decode
from crab_jax.evaluation import report
from crab_jax.evaluation import scores
from crab_jax.training import router

# Top of the parameter tree -> what a reader calls it.
_TOWERS = {
  "model": "language model",
  "visual": "vision tower",
  "audio_tower": "audio tower",
}


@dataclasses.dataclass(frozen=True)
class Subject:
  """What is evaluated, and on which records."""

  model: configs.Model
  params: array_types.Tree
  tokenizer: tokenizers.Tokenizer
  records: pathlib.Path


def assess(
  subject: Subject,
  data: configs.Data,
  config: configs.Evaluation,
  rows: configs.Rows,
  out: pathlib.Path,
  about: dict[str, str],
  metrics: list[dict],
) -> pathlib.Path:
  """Writes predictions and report into `out`; goes on where it was stopped.

  Args:
    subject: the model and the records.
    data: how prompts are made.
    config: which datasets, how many clips, how long an answer.
    rows: shape of the batches for the router's statistics.
    out: the folder to write.
    about: facts to stand in the report.
    metrics: lines of metrics.jsonl, for the plot of the losses.

  Returns:
    The path of the report.
  """
  maker = samples.sample_maker(subject.tokenizer, data, subject.model)
  chosen = decode.read(subject.records, config)
  answerer = decode.Answerer(
    subject.model, subject.params, maker, subject.tokenizer, config
  )
  decode.decode(answerer, chosen, out / decode.FOLDER)
  by_id = {record.id: record for record in chosen}
  found = scores.score_folder(out / decode.FOLDER, lookup=by_id.get)
  artefacts = report.Artefacts(
    title="crab_jax: held-out clips",
    about={**about, **_facts(subject)},
    lookup=by_id.get,
    metrics=metrics,
    gates=_gates(subject, data, rows),
  )
  path = report.write(out, found, artefacts)
  print("\n".join(report.table(found)))
  return path


def _facts(subject: Subject) -> dict[str, str]:
  count = sum(leaf.size for leaf in jax.tree.leaves(subject.params))
  return {
    "parameters": f"{count:,}",
    "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    "machine": f"{os.cpu_count()} cores, {platform.machine()}",
    "date": datetime.date.today().isoformat(),
  }


def _gates(
  subject: Subject, data: configs.Data, rows: configs.Rows
) -> dict[str, np.ndarray]:
  """Mean router gates over validation clips: tower -> float[tasks, heads].

  Over all layers and projections of a tower. Empty where there is no router
  or no validation split.
  """
  adapter = subject.model.adapter
  if adapter is None or adapter.heads == 1 or adapter.router != "token":
    return {}
  if not any("val" in s for s in records.splits(subject.records).values()):
    return {}
  watch = router.Watch(subject.model, len(tasks.TASKS))
  total = None
  for batch in pipeline.one_pass(
    subject.records, subject.tokenizer, data, subject.model, rows
  ):
    found = watch(subject.params, batch)
    total = found if total is None else total + found
  by_tower: dict[str, list[np.ndarray]] = {}
  for name, gates in total.gates(adapter.heads).items():
    tower = _TOWERS[name.split("/")[0]]
    by_tower.setdefault(tower, []).append(gates[:, : len(tasks.TASKS)])
  return {
    tower: np.concatenate(layers).mean(0) for tower, layers in by_tower.items()
  }
