"""Scores prediction files without a model: ours, or the official ones."""

import functools

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import prepared_records
from crab_jax.data import tasks
from crab_jax.evaluation import decode
from crab_jax.evaluation import held_out
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation import predictions
from crab_jax.evaluation import unified
from crab_jax.evaluation.report import files as report_files
from crab_jax.evaluation.scoring import score_sheet
from crab_jax.evaluation.scoring import scores


def rescore(
  source: files.Path | None,
  out: files.Path,
  config: configs.Evaluation,
  table: tasks.Tasks,
  prepared: prepared_records.Prepared | None = None,
) -> report_files.Written:
  """Writes the report of prediction files, and their rows with scores.

  Answers to scenes that every task asks about are scored where their folder
  lies beside `source`. A task that cannot be scored is named in the report and costs the others
  nothing.

  Args:
    source: holds {task}.jsonl or inference_{task}.jsonl; None: the folder
      `predictions` in `out`.
    out: the folder to write.
    config: which datasets, and how many clips of each the records give.
    table: the tasks.
    prepared: the records: they give references and media, and say which
      rows are missing. None: the files have to say it all.

  Raises:
    UserError: there is no file, or no task can be scored.
  """
  source = source or out / decode.FOLDER
  if not source.is_dir():
    raise errors.UserError(f"{source} is no folder: give --predictions")
  table.require(config.tasks or (), "--tasks")
  clips = held_out.clips(prepared, config) if prepared else None
  lookup = clips.find if clips else None
  sheet = score_sheet.Sheet()
  imported: dict[str, predictions.Imported] = {}

  def score(task: str, paths: list[files.Path]) -> scores.TaskScore:
    imported[task] = predictions.read(table[task], paths, clips)
    return scores.score_rows(table[task], imported[task].rows, lookup)

  for task, paths in predictions.find(source, table, config.tasks).items():
    sheet.attempt(task, functools.partial(score, task, paths))
  sheet.require_any()
  _write_rows(sheet, imported, out / decode.FOLDER, source)
  asked = source.parent / unified.FOLDER
  answered = (
    score_sheet.of_folder(asked, table).scored if asked.is_dir() else {}
  )
  artefacts = report_files.Artefacts(
    title="crab_jax: predictions scored",
    about={"predictions": str(source), "records": str(prepared or "none")},
    lookup=lookup,
    notes=_notes(imported),
    unified=unified.measure(answered, sheet.scored) if answered else None,
  )
  return report_files.publish(out, sheet, artefacts)


def _write_rows(
  sheet: score_sheet.Sheet,
  imported: dict[str, predictions.Imported],
  folder: files.Path,
  source: files.Path,
) -> None:
  """Writes the scored rows, but not beside the official files themselves."""
  files.make_folder(folder)
  in_place = files.is_same(folder, source)
  for task, score in sheet.scored.items():
    if imported[task].ours or not in_place:
      path = prediction_files.path_of(folder, task)
      prediction_files.write_rows(path, score.every_row)


def _notes(imported: dict[str, predictions.Imported]) -> list[str]:
  """How the rows of the tasks came to their ids, in sentences."""
  joined: dict[str, list[str]] = {}
  for task, own in imported.items():
    joined.setdefault(own.note, []).append(task)
  return [f"{', '.join(names)}: {note}" for note, names in joined.items()]
