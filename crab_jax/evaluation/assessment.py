"""The whole of an evaluation: decode held-out clips, score, report."""

import dataclasses
import datetime
import os
import platform
from typing import Any

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import pipeline
from crab_jax.data import prepared_records
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import decode
from crab_jax.evaluation import held_out
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation import unified
from crab_jax.evaluation.masking import rows as mask_rows
from crab_jax.evaluation.report import files as report_files
from crab_jax.evaluation.scoring import score_sheet
from crab_jax.paradigms import network
from crab_jax.routers import statistics as router_statistics
from crab_jax.training import generation_sharding
from crab_jax.training import hosts
from crab_jax.training import state as state_lib
from crab_jax.weights import adapter as adapters

_TITLE = "crab_jax: held-out clips"
BASE_ALONE = "predictions_of_base"  # beside `decode.FOLDER`

# What of `configs.Data` changes a prompt, and so an answer.
_OF_PROMPTS = (
  "prompts",
  "chat_template",
  "seconds_per_pair",
  "true_seconds",
  "positions_per_second",
)


@dataclasses.dataclass(frozen=True)
class Subject:
  """What is evaluated, and on which records."""

  model: configs.Model
  params: array_types.Tree
  tokenizer: tokenizers.Tokenizer
  records: prepared_records.Prepared
  mesh: configs.Mesh = configs.Mesh()  # how a process spreads the model
  masks: files.Path | None = None  # the folder of a mask model


def assess(
  subject: Subject,
  data: configs.Data,
  config: configs.Evaluation,
  rows: configs.Rows,
  out: files.Path,
  about: dict[str, str],
  metrics: list[dict],
  renew: bool = False,
) -> report_files.Written | None:
  """Writes predictions and report into `out`; goes on where it was stopped.

  Of several processes each decodes a share, in a folder that all see; the
  first one joins the files, scores and reports.

  Args:
    subject: the model and the records.
    data: how prompts are made.
    config: which datasets, how many clips, how long an answer, and whether the
      base answers too.
    rows: shape of the batches for the router's statistics.
    out: the folder to write.
    about: facts that are shown in the report.
    metrics: lines of metrics.jsonl, for the plot of the losses.
    renew: whether answers of another model in `out` make way; they are refused
      otherwise.

  Returns:
    The report; None of a process that does not write it.

  Raises:
    UserError: no records, no task can be scored, or `out` holds the answers of
      another model.
  """
  folder, first = out / decode.FOLDER, jax.process_index() == 0
  # Before the model answers, which may take hours: the folder may be damaged.
  masker = mask_rows.Masker(subject.masks, config) if subject.masks else None
  clips = held_out.clips(subject.records, config)
  with_base = config.base_alone and subject.model.adapter is not None
  if with_base:
    base = _base_of(subject)
    _answer(base, data, config, clips, out / BASE_ALONE, renew)
  layout, params = _answer(subject, data, config, clips, folder, renew)
  scenes = held_out.unified(subject.records, config)
  if scenes:
    _answer(subject, data, config, scenes, out / unified.FOLDER, renew)
  if masker is not None:
    for answered in [out / BASE_ALONE] * with_base + [folder]:
      masker.add(answered, clips)
    if scenes:
      masker.add(out / unified.FOLDER, scenes)
  written = None
  if first:
    sheet = _score(folder, clips)
    alone = _score(out / BASE_ALONE, clips).scored if with_base else {}
    asked = _score(out / unified.FOLDER, scenes).scored if scenes else {}
    with layout.scope():
      gates = _gates(subject, params, data, rows)
    artefacts = report_files.Artefacts(
      title=_TITLE,
      about={**about, **_facts(subject)},
      lookup=clips.find,
      metrics=metrics,
      gates=gates,
      table=clips.table,
      base_alone={task: score.value for task, score in alone.items()},
      unified=unified.measure(asked, sheet.scored) if asked else None,
      unified_lookup=scenes.find,
    )
    written = report_files.publish(out, sheet, artefacts)
  hosts.barrier("reported")
  return written


def _base_of(subject: Subject) -> Subject:
  """The subject without its adapter."""
  _, params = state_lib.split(subject.params, "adapter")
  model = dataclasses.replace(subject.model, adapter=None)
  return dataclasses.replace(subject, model=model, params=params)


def _answer(
  subject: Subject,
  data: configs.Data,
  config: configs.Evaluation,
  clips: held_out.Clips,
  folder: files.Path,
  renew: bool,
) -> tuple[generation_sharding.Layout, array_types.Tree]:
  """Answers all clips into a folder, this process its share of them.

  Returns:
    How the model lies on the devices, and its parameters there.
  """
  first = jax.process_index() == 0
  layout = generation_sharding.local(subject.mesh, subject.model)
  # All processes: what is split over hosts is gathered.
  params = layout.shard(subject.params)
  run = {
    **_run(subject.model, params, data, config),
    **_records(subject.records.root, clips),
  }
  if renew:
    if first and prediction_files.drop_of_other_model(folder, run):
      print(f"{folder}: another state of the model answered; answering anew")
    hosts.barrier(f"renewed {folder.name}")
  # Every process checks it: none may add answers of another model.
  prediction_files.claim(folder, run, first)
  maker = samples.sample_maker(
    subject.tokenizer, data, subject.model, subject.records.table
  )
  answerer = decode.Answerer(
    subject.model, params, maker, subject.tokenizer, config, layout
  )
  decode.decode(answerer, clips, folder)
  hosts.barrier(f"decoded {folder.name}")
  if first:
    prediction_files.join(folder, clips.table)
  return layout, params


def _run(
  model: configs.Model,
  params: array_types.Tree,
  data: configs.Data,
  config: configs.Evaluation,
) -> dict:
  """What decides an answer; see `prediction_files.claim`."""
  return {
    "model": adapters.fingerprint(params, adapters=True),
    "network": model.network,
    "max_new_tokens": config.max_new_tokens,
    **{name: getattr(data, name) for name in _OF_PROMPTS},
  }


def _records(root: files.Path, clips: held_out.Clips) -> dict:
  """What identifies a preparation of the records; see `prediction_files.claim`.

  The wording of a task of one's own is that of its row.
  """
  found: dict[str, Any] = {
    f"{task} records": records.manifest(root, task) for task in clips.sources
  }
  for task in clips.table.own:
    if task.name in clips.sources:
      found[f"{task.name} wording"] = [task.lead_in, task.question]
  return found


def _score(folder: files.Path, clips: held_out.Clips) -> score_sheet.Sheet:
  """The scores of a folder; its rows get their parsed answers and scores.

  Raises:
    UserError: a clip has no row, so a process did not do its share; or no
      task can be scored.
  """
  sheet = score_sheet.of_folder(folder, clips.table, lookup=clips.find)
  for task in clips.sources:
    if task in sheet.unscored:
      continue
    wanted = clips.count(task)
    score = sheet.scored.get(task)
    there = len(score.every_row) if score else 0
    if there < wanted:
      raise errors.UserError(
        f"{folder}: {there} of {wanted} clips of {task} are answered: start"
        " again to answer the rest"
      )
  for task, score in sheet.scored.items():
    prediction_files.write_rows(
      prediction_files.path_of(folder, task), score.every_row
    )
  return sheet


def _facts(subject: Subject) -> dict[str, str]:
  count = sum(leaf.size for leaf in jax.tree.leaves(subject.params))
  return {
    "parameters": f"{count:,}",
    "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    "machine": f"{os.cpu_count()} cores, {platform.machine()}",
    "date": datetime.date.today().isoformat(),
  }


def _gates(
  subject: Subject,
  params: array_types.Tree,
  data: configs.Data,
  rows: configs.Rows,
) -> dict[str, np.ndarray]:
  """Mean router gates over validation clips: tower -> float[tasks, heads].

  Over all layers and projections of a tower. Empty where there is no router
  or no validation split.
  """
  if not subject.model.routes:
    return {}
  if not any("val" in s for s in subject.records.splits().values()):
    return {}
  count = len(subject.records.table)
  collector = router_statistics.Collector(subject.model, count)
  total = None
  for batch in pipeline.one_pass(
    subject.records, subject.tokenizer, data, subject.model, rows
  ):
    found = collector(params, batch)
    total = found if total is None else total + found
  by_tower: dict[str, list[np.ndarray]] = {}
  heads = subject.model.required_adapter.heads
  for name, gates in total.gates(heads).items() if total else ():
    tower = network.label(name)
    by_tower.setdefault(tower, []).append(gates[:, :count])
  return {
    tower: np.concatenate(layers).mean(0) for tower, layers in by_tower.items()
  }
