"""Scores prediction files without a model: ours, or the official ones."""

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import prepared_records
from crab_jax.data import tasks
from crab_jax.evaluation import decode
from crab_jax.evaluation import held_out
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation import predictions
from crab_jax.evaluation.report import files as report_files
from crab_jax.evaluation.scoring import scores


def rescore(
  source: files.Path | None,
  out: files.Path,
  config: configs.Evaluation,
  table: tasks.Tasks,
  prepared: prepared_records.Prepared | None = None,
) -> files.Path:
  """Writes the report of prediction files, and their rows with scores.

  Args:
    source: holds {task}.jsonl or inference_{task}.jsonl; None: the folder
      `predictions` in `out`.
    out: the folder to write.
    config: which datasets, and how many clips of each the records give.
    table: the tasks.
    prepared: the records: they give references and media, and say which
      rows are missing. None: the files have to say it all.

  Returns:
    The path of the report.

  Raises:
    UserError: no file, a broken one, or rows that do not fit the records.
  """
  source = source or out / decode.FOLDER
  if not source.is_dir():
    raise errors.UserError(f"{source} is no folder: give --predictions")
  table.require(config.tasks or (), "--tasks")
  clips = held_out.clips(prepared, config) if prepared else None
  imported = predictions.read_folder(source, table, config.tasks, clips)
  lookup = clips.find if clips else None
  found = {}
  joined: dict[str, list[str]] = {}
  for task, own in imported.items():
    found[task] = scores.score_rows(table[task], own.rows, lookup)
    joined.setdefault(own.note, []).append(task)
  notes = [f"{', '.join(names)}: {note}" for note, names in joined.items()]
  folder = out / decode.FOLDER
  files.make_folder(folder)
  for task, score in found.items():
    if imported[task].ours or not files.is_same(folder, source):
      path = prediction_files.path_of(folder, task)
      prediction_files.write_rows(path, score.rows)
  artefacts = report_files.Artefacts(
    title="crab_jax: predictions scored",
    about={"predictions": str(source), "records": str(prepared or "none")},
    lookup=lookup,
    notes=notes,
  )
  path = report_files.write(out, found, artefacts)
  print("\n".join([*report_files.table(found), "", *notes]))
  return path
