"""The scores of every task, from rows of predictions.

A row is a dict, one line of predictions/{task}.jsonl: "id", "task", "prompt",
"text" (what the model said, or null), "parsed", "reference" (of the record),
"score", "error" (null or why there is no text). Optional: "question" (of the
record: multiple choice needs its options), "split", "mask" (a predicted mask)
and reference["mask"] (the true one), both run-length codes of `masks`.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable
from collections.abc import Iterable

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import caption_scorer
from crab_jax.evaluation.scoring import event_scorers
from crab_jax.evaluation.scoring import grounding_scorer
from crab_jax.evaluation.scoring import label_scorers
from crab_jax.evaluation.scoring import results
from crab_jax.evaluation.scoring import segmentation_scorer

_EMOTION = functools.partial(label_scorers.weighted_f1, group="emotion")
_RECALL = functools.partial(label_scorers.uar, group="emotion")
_CANDIDATE = functools.partial(label_scorers.accuracy, group="candidate")

# Task -> name of its primary metric, its scorer. Segmentation names its own:
# J where a mask model drew masks, else box IoU.
SCORERS: dict[str, tuple[str, Callable[..., results.Result]]] = {
  "a2v": ("accuracy", _CANDIDATE),
  "v2a": ("accuracy", _CANDIDATE),
  "ks": ("accuracy", label_scorers.accuracy),
  "ucf": ("accuracy", label_scorers.accuracy),
  "meld": ("weighted F1", _EMOTION),
  "mer24": ("weighted F1", _EMOTION),
  "cremad": (
    "accuracy",
    functools.partial(label_scorers.accuracy, group="emotion"),
  ),
  "mafw": ("UAR", _RECALL),
  "dfew": ("UAR", _RECALL),
  "avqa": ("accuracy", label_scorers.music_avqa),
  "avqa_thu": ("accuracy", label_scorers.avqa),
  "ave": ("segment accuracy", event_scorers.ave),
  "unav": ("mAP", event_scorers.unav),
  "avvp": ("segment Type@AV", event_scorers.avvp),
  "ms3": ("J", segmentation_scorer.score),
  "s4": ("J", segmentation_scorer.score),
  "ref_avs": ("J", segmentation_scorer.score),
  "arig": ("cIoU@0.5", grounding_scorer.score),
  "avcap": ("CIDEr/10", caption_scorer.score),
}


@dataclasses.dataclass(frozen=True)
class TaskScore:
  """The score of one task and what stands beside it.

  Attributes:
    metric: name of the primary metric; 1 is perfect.
    value: its value; what failed is wrong.
    chance: that of the best blind guess, computed from the references.
    guess: what that guess says.
    n: rows scored, duplicates removed.
    parse_failures: rows with a text that could not be read.
    failed: rows without a text.
    duplicates: rows removed because their id was there before.
    lenient: rows whose reading, or the match of whose label, took a kindness.
    split: name of the split.
    details: further metrics, tables, reasons and kinds of leniency.
    official_compatible: under the conventions of the official scripts.
    rows: the scored rows, with "parsed" and "score" filled in.
  """

  task: str
  family: str
  metric: str
  value: float
  chance: float
  guess: str
  n: int
  parse_failures: int
  failed: int
  duplicates: int
  lenient: int
  split: str
  details: dict
  official_compatible: dict
  rows: list[dict] = dataclasses.field(repr=False)

  def to_json(self) -> dict:
    """All but the rows, for report.json."""
    fields = dataclasses.fields(self)
    return {
      field.name: getattr(self, field.name)
      for field in fields
      if field.name != "rows"
    }


def score_rows(task: str, rows: Iterable[dict], lookup=None) -> TaskScore:
  """Scores the rows of one task.

  Args:
    task: a task of `crab_jax.data.tasks`.
    rows: its predictions, see the module's docstring.
    lookup: id -> `records.Record` or None; asked for true masks only.

  Raises:
    UserError: an unknown task, no rows, or a row without id or reference.
  """
  if task not in SCORERS:
    raise errors.UserError(
      f"{task!r} is no task of AV-UIE v2: {', '.join(SCORERS)}"
    )
  samples, duplicates = accounting.samples(task, rows)
  if not samples:
    raise errors.UserError(f"{task}: there are no predictions to score")
  metric, scorer = SCORERS[task]
  if scorer is segmentation_scorer.score:
    result = scorer(samples, lookup)
  else:
    result = scorer(samples)
  counts = accounting.counts(samples, duplicates)
  extra = {k: counts.pop(k) for k in ("failure_reasons", "leniency")}
  counts["lenient"] = sum(
    bool(sample.answer.leniency or part.get("leniency"))
    for sample, part in zip(samples, result.parts, strict=True)
  )
  return TaskScore(
    task=task,
    family=tasks.BY_NAME[task].family,
    metric=result.metric or metric,
    value=result.value,
    chance=result.chance,
    guess=result.guess,
    details={**result.details, **extra},
    official_compatible=result.official,
    rows=[
      {**sample.row, "parsed": sample.answer.to_json(), "score": part}
      for sample, part in zip(samples, result.parts, strict=True)
    ],
    **counts,
  )


def read_rows(path: pathlib.Path) -> list[dict]:
  """The rows of one predictions file; a cut-off last line is left out.

  Raises:
    UserError: a line before the last is no JSON object.
  """
  rows = []
  lines = pathlib.Path(path).read_bytes().split(b"\n")
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


def score_folder(
  predictions: pathlib.Path, lookup=None, expected=None
) -> dict[str, TaskScore]:
  """Scores every {task}.jsonl of a folder, in the canonical order.

  Args:
    predictions: the folder.
    lookup: as in `score_rows`.
    expected: task -> {id: reference} of the records that should be there;
      those that are not are scored as missing. None: not checked.

  Raises:
    UserError: the folder holds no file of a task, or a file is broken.
  """
  scores = {}
  for task in tasks.BY_NAME:
    path = pathlib.Path(predictions) / f"{task}.jsonl"
    if not path.is_file():
      continue
    rows = read_rows(path)
    if expected and task in expected:
      rows = accounting.with_missing(rows, expected[task])
    scores[task] = score_rows(task, rows, lookup)
  if not scores:
    raise errors.UserError(
      f"{predictions} holds no predictions ({{task}}.jsonl)"
    )
  return scores
