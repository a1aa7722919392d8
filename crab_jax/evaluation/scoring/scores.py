"""The scores of every task, from rows of predictions.

A row is a dict, one line of predictions/{task}.jsonl: "id", "task", "prompt",
"text" (what the model said, or null), "parsed", "reference" (of the record),
"score", "error" (null or why there is no text). Optional: "question" (of the
record: multiple choice needs its options), "split", "mask" (a predicted mask)
and reference["mask"] (the true one), both run-length codes of `masks`, "cut" (the
limit that ended the answer: "max_new_tokens" or "context").
"""

import dataclasses
import json
from collections.abc import Callable
from collections.abc import Iterable

from crab_jax import errors
from crab_jax import files
from crab_jax.data import task_checks
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import caption_scorer
from crab_jax.evaluation.scoring import event_scorers
from crab_jax.evaluation.scoring import existence_scorer
from crab_jax.evaluation.scoring import grounding_scorer
from crab_jax.evaluation.scoring import label_scorers
from crab_jax.evaluation.scoring import results
from crab_jax.evaluation.scoring import segmentation_scorer


@dataclasses.dataclass(frozen=True)
class Metric:
  """A primary metric and the scorer that computes it.

  Attributes:
    title: its name in reports.
    kinds: forms of an answer (`tasks.KINDS`) that it scores.
    score: (samples, row of the table of tasks, lookup of records) -> result.
    masked: it compares masks.
    released: (samples, official column) -> the column by programs that others
      have released, where they are installed.
  """

  title: str
  kinds: tuple[str, ...]
  score: Callable[..., results.Result]
  masked: bool = False
  released: Callable[..., dict] | None = None


def _of_labels(score: Callable[..., results.Result]):
  """A scorer that takes the group of synonyms beside the samples."""
  return lambda samples, task, lookup: score(samples, group=task.synonyms)


def _of_samples(score: Callable[..., results.Result]):
  """A scorer that takes nothing but the samples."""
  return lambda samples, task, lookup: score(samples)


def _masks(samples, task: tasks.Task, lookup) -> results.Result:
  return segmentation_scorer.score(samples, lookup)


# The metrics that a row of the table of tasks may name. Segmentation gives its
# own title: J where a mask model drew masks, else box IoU.
METRICS = {
  "accuracy": Metric(
    "accuracy", ("label",), _of_labels(label_scorers.accuracy)
  ),
  "weighted_f1": Metric(
    "weighted F1", ("label",), _of_labels(label_scorers.weighted_f1)
  ),
  "uar": Metric("UAR", ("label",), _of_labels(label_scorers.uar)),
  "question_accuracy": Metric(
    "accuracy", ("label",), _of_samples(label_scorers.music_avqa)
  ),
  "choice_accuracy": Metric(
    "accuracy", ("label",), _of_samples(label_scorers.avqa)
  ),
  "segment_accuracy": Metric(
    "segment accuracy", ("events",), _of_samples(event_scorers.ave)
  ),
  "map": Metric("mAP", ("events",), _of_samples(event_scorers.unav)),
  "type_at_av": Metric(
    "segment Type@AV", ("events",), _of_samples(event_scorers.avvp)
  ),
  "j": Metric("J", ("place", "existence"), _masks, masked=True),
  "ciou": Metric("cIoU@0.5", ("place",), _of_samples(grounding_scorer.score)),
  "existence_accuracy": Metric(
    "accuracy", ("existence",), _of_samples(existence_scorer.score)
  ),
  "cider": Metric(
    "CIDEr/10",
    ("caption",),
    _of_samples(caption_scorer.score),
    released=caption_scorer.released,
  ),
}


def own_tasks(path: files.Path | None) -> tasks.Tasks | None:
  """The table with the rows of a task file; None: there is no such file.

  Raises:
    UserError: the file is wrong; the message names file, task and key.
  """
  if path is None:
    return None
  kinds = {name: metric.kinds for name, metric in METRICS.items()}
  masked = tuple(name for name, metric in METRICS.items() if metric.masked)
  scoring = task_checks.Scoring(kinds, masked, labels.groups())
  return task_files.load(path, scoring)


@dataclasses.dataclass(frozen=True)
class TaskScore:
  """The score of one task and the numbers beside it.

  Attributes:
    metric: name of the primary metric; 1 is perfect.
    value: its value; what failed is wrong.
    chance: that of the best blind guess, computed from the references.
    guess: what that guess says.
    n: rows scored, duplicates removed.
    parse_failures: rows with a text that could not be read.
    partly_read: rows that were read but for a part of what they say, which
      the details name under "unread".
    failed: rows without a text.
    unscored: rows that nobody can score and no mean has: their reference
      cannot be read, or their true mask is missing.
    duplicates: rows removed because their id was there before.
    lenient: rows that needed leniency, to be parsed or to match a label.
    split: name of the split.
    details: further metrics, tables, reasons and kinds of leniency.
    official_compatible: under the conventions of the official scripts.
    rows: the scored rows, with "parsed" and "score" filled in.
    left_out: the rows without a readable reference, as they are.
    remarks: what of the set could not be scored, in sentences.
    definition: the row of the table of tasks.
  """

  task: str
  family: str
  metric: str
  value: float
  chance: float
  guess: str
  n: int
  parse_failures: int
  partly_read: int
  failed: int
  unscored: int
  duplicates: int
  lenient: int
  split: str
  details: dict
  official_compatible: dict
  rows: list[dict] = dataclasses.field(repr=False)
  left_out: list[dict] = dataclasses.field(repr=False)
  remarks: list[str]
  definition: tasks.Task = dataclasses.field(repr=False)

  def to_json(self) -> dict:
    """All but the rows and the definition, for report.json."""
    fields = dataclasses.fields(self)
    return {
      field.name: getattr(self, field.name)
      for field in fields
      if field.name not in ("rows", "left_out", "definition")
    }

  @property
  def every_row(self) -> list[dict]:
    """The scored rows and those left out, for a file that loses none."""
    return [*self.rows, *self.left_out]


def score_rows(
  task: tasks.Task, rows: Iterable[dict], lookup=None, *, released: bool = True
) -> TaskScore:
  """Scores the rows of one task.

  Args:
    task: its row of the table of tasks.
    rows: its predictions, see the module's docstring.
    lookup: id -> `records.Record` or None; asked for true masks only.
    released: whether released programs may be run for the official column,
      which takes 10 seconds where there are some.

  Raises:
    UserError: no rows, or one without id or reference.
  """
  accounts = accounting.accounts(task, rows)
  samples = accounts.samples
  if not samples:
    raise errors.UserError(f"{task.name}: there are no predictions to score")
  metric = METRICS[task.metric]
  result = metric.score(samples, task, lookup)
  official = result.official
  if released and metric.released:
    official = metric.released(samples, official)
  counts = accounting.counts(samples)
  details = ("failure_reasons", "leniency", "unread", "cut_off")
  extra = {name: counts.pop(name) for name in details}
  counts["lenient"] = sum(
    bool(sample.answer.leniency or part.get("leniency"))
    for sample, part in zip(samples, result.parts, strict=True)
  )
  return TaskScore(
    task=task.name,
    family=task.family,
    metric=result.metric or metric.title,
    value=result.value,
    chance=result.chance,
    guess=result.guess,
    unscored=len(accounts.left_out) + result.unscored,
    duplicates=accounts.duplicates,
    details={**result.details, **extra},
    official_compatible=official,
    rows=[
      {**sample.row, "parsed": sample.answer.to_json(), "score": part}
      for sample, part in zip(samples, result.parts, strict=True)
    ],
    left_out=accounts.left_out,
    remarks=_remarks(task, accounts, result),
    definition=task,
    **counts,
  )


def _remarks(
  task: tasks.Task, accounts: accounting.Accounts, result: results.Result
) -> list[str]:
  """What of a set could not be scored, in sentences."""
  remarks = []
  if accounts.left_out:
    remarks.append(
      f"{task.name}: {len(accounts.left_out)} rows are in no mean, as their"
      f" references cannot be read: {'; '.join(accounts.reasons)}"
    )
  if result.unscored:
    remarks.append(
      f"{task.name}: {result.unscored} rows are in no mean, as they have no"
      " true mask"
    )
  return remarks


def read_rows(path: files.Path) -> list[dict]:
  """The rows of one predictions file; a cut-off last line is left out.

  Raises:
    UserError: a line before the last is no JSON object.
  """
  rows = []
  lines = files.path(path).read_bytes().split(b"\n")
  for number, line in enumerate(lines, 1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
    except ValueError as error:
      if number == len(lines):  # no newline: a writer was stopped here
        break
      raise errors.UserError(f"{path}:{number} is no JSON: {error}") from error
    if not isinstance(row, dict):
      raise errors.UserError(f"{path}:{number} is no JSON object")
    rows.append(row)
  return rows
