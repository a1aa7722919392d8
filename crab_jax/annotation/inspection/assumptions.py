"""What is assumed of AV-UIE's values and could not be seen: tested on a copy.

Where indices begin, in which space coordinates are, the forms of answers and
events, types of values, labels against the tables of the scorers.
"""

import collections
from collections.abc import Iterator
from collections.abc import Mapping

from PIL import Image

from crab_jax import configs
from crab_jax import files
from crab_jax.annotation.inspection import findings
from crab_jax.annotation.inspection import timing
from crab_jax.data import annotations
from crab_jax.data import statuses
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.reading import references

Rows = timing.Rows
_PARTS = {"one_fifth": 5, "one_tenth": 10, "fifths": 5}
_PICTURES = 20  # that are looked at, for their size


def test(
  task: tasks.Task, splits: Mapping[str, list], source: files.Path
) -> Iterator[findings.Assumption]:
  """The assumptions about a set, in a fixed order.

  Args:
    task: its row of the table of tasks.
    splits: split -> rows of the annotation file.
    source: the folder of the sets.
  """
  rows = [
    (f"{task.name}/{split}/{number}", values)
    for split, own in splits.items()
    for number, values in enumerate(own)
    if isinstance(values, dict)
  ]
  yield _keys(task, splits)
  taught = [(n, v) for n, v in rows if "/test/" not in n or not task.has_test]
  for check in (_indices, _frame_names, _coordinates, _corners):
    if task.visual == "image" and (found := check(task, rows, source)):
      yield found
  yield from _targets(task, taught)
  yield from _references(task, splits)
  if task.family == "matching":
    yield _candidates(task, rows)
  if "options" in task.question_keys("train"):
    yield _options(task, rows)
  if task.synonyms == "emotion" or task.classes:
    yield _vocabulary(task, rows)
  yield from timing.test(task, rows, source)


def _keys(task: tasks.Task, splits: Mapping[str, list]) -> findings.Assumption:
  """Whether rows have the keys that are read of them."""
  bad, count = [], 0
  for split, rows in splits.items():
    for number, values in enumerate(rows):
      count += 1
      try:
        annotations.parse(task, split, number, values)
      except statuses.RecordError as error:
        if error.status == statuses.Status.MISSING_KEY:
          bad.append(f"{task.name}/{split}/{number}: {error.reason}")
      except Exception as error:  # no annotation may end a check
        bad.append(f"{task.name}/{split}/{number}: {error!r}"[:160])
  return findings.verdict(
    task.name, "rows have the keys that are read", bad, count
  )


def _indices(
  task: tasks.Task, rows: Rows, source: files.Path
) -> findings.Assumption | None:
  """Whether indices of frames begin at 0, by the range of their values."""
  parts = _PARTS.get(task.window)
  keys = {
    key
    for split in ("train", "test")
    if (key := task.index_key(split)) is not None
  }
  values = [
    (name, row[key])
    for name, row in rows
    for key in keys
    if key in row and str(row[key]).lstrip("-").isdecimal()
  ]
  name = "indices begin at 0"
  if parts is None or not keys:
    return None
  if not values:
    return findings.Assumption(
      task.name, name, findings.UNKNOWN, "no row has an index"
    )
  numbers = [int(value) for _, value in values]
  found = f"values {min(numbers)} to {max(numbers)}, {parts} parts"
  beyond = tuple(
    f"{row}: {value}" for row, value in values if not 0 <= int(value) < parts
  )
  if beyond:
    return findings.Assumption(task.name, name, findings.FAILS, found, beyond)
  if min(numbers) == 0:
    return findings.Assumption(task.name, name, findings.HOLDS, found)
  return findings.Assumption(task.name, name, findings.UNKNOWN, found)


def _frame_names(
  task: tasks.Task, rows: Rows, source: files.Path
) -> findings.Assumption | None:
  """Whether the index is the number in the name of the picture."""
  bad, count = [], 0
  for name, row in rows:
    index = row.get("frame_idx", row.get("idx"))
    picture = row.get("image_path", row.get("visual_path"))
    if index is None or not isinstance(picture, str):
      continue
    stem = picture.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    if stem.isdecimal():
      count += 1
      if stem != str(index):
        bad.append(f"{name}: index {index}, picture {picture}")
  return findings.verdict(
    task.name, "the index is the number of the picture", bad, count, ""
  )


def _coordinates(
  task: tasks.Task, rows: Rows, source: files.Path
) -> findings.Assumption | None:
  """Whether boxes of targets are on the grid of 224, by their maxima."""
  boxes = []
  for name, row in rows:
    text = row.get(task.target)
    if isinstance(text, str):
      read = answers.parse(task, text)
      if read.box is not None:
        boxes.append((name, read, text))
  return _space(task, "boxes of targets are on the 224 grid", [
    (name, max(read.box), "clamped" in read.leniency, text)
    for name, read, text in boxes if read.box is not None
  ], rows, source)  # fmt: skip


def _corners(
  task: tasks.Task, rows: Rows, source: files.Path
) -> findings.Assumption | None:
  """The same of the corners that a test row has."""
  if "bottom_right" not in task.needs:
    return None
  found = []
  for name, row in rows:
    corner = references.fields(row.get("bottom_right"))
    if len(corner) == 2 and all(c.replace(".", "").isdecimal() for c in corner):
      most = max(map(float, corner))
      found.append((name, most, most >= configs.COORDINATE_SIZE, str(corner)))
  return _space(task, "corners are on the 224 grid", found, rows, source)


def _space(
  task: tasks.Task,
  name: str,
  found: list[tuple[str, float, bool, str]],
  rows: Rows,
  source: files.Path,
) -> findings.Assumption:
  """A verdict from (row, largest value, beyond the grid, text)."""
  if not found:
    return findings.Assumption(
      task.name, name, findings.UNKNOWN, "no row has any"
    )
  beyond = tuple(
    f"{row}: {text[-80:]}" for row, _, is_beyond, text in found if is_beyond
  )
  sizes = _sizes(task, rows, source)
  largest = max(value for _, value, _, _ in found)
  told = f"largest value {largest:g}"
  if sizes:
    told += f", pictures up to {max(map(max, sizes))} pixels"
  if beyond:
    return findings.Assumption(task.name, name, findings.FAILS, told, beyond)
  # In small pictures pixels would look the same.
  if not sizes or max(map(max, sizes)) <= configs.COORDINATE_SIZE:
    return findings.Assumption(task.name, name, findings.UNKNOWN, told)
  return findings.Assumption(task.name, name, findings.HOLDS, told)


def _sizes(
  task: tasks.Task, rows: Rows, source: files.Path
) -> list[tuple[int, int]]:
  """Width and height of the first pictures that are there."""
  found = []
  for _, row in rows[:_PICTURES]:
    path = row.get("image_path", row.get("visual_path"))
    try:
      with Image.open(source / task.name / str(path)) as picture:
        found.append(picture.size)
    except OSError:
      continue
  return found


def _targets(task: tasks.Task, rows: Rows) -> Iterator[findings.Assumption]:
  """Whether targets are read, and without leniency."""
  texts = [
    (name, row[task.target])
    for name, row in rows
    if isinstance(row.get(task.target), str) and row[task.target].strip()
  ]
  read = [(name, text, answers.parse(task, text)) for name, text in texts]
  bad = [
    f"{name}: {answer.failure}: {text[-80:]}"
    for name, text, answer in read
    if answer.failure
  ]
  yield findings.verdict(task.name, "targets can be read", bad, len(read), "")
  good = [row for row in read if not row[2].failure]
  counts = collections.Counter(
    name for _, _, answer in good for name in answer.leniency
  )
  lenient = [
    f"{name}: {', '.join(answer.leniency)}: {text[-80:]}"
    for name, text, answer in good
    if answer.leniency
  ]
  told = findings.HOLDS if not lenient else findings.FAILS
  reason = ", ".join(f"{name} {n}" for name, n in counts.items()) or "all exact"
  yield findings.Assumption(
    task.name,
    "targets have the exact form",
    told if good else findings.UNKNOWN,
    reason if good else "no row tells",
    tuple(lenient),
  )


def _references(
  task: tasks.Task, splits: Mapping[str, list]
) -> Iterator[findings.Assumption]:
  """Whether what test rows are scored by is read."""
  if not task.has_test or "test" not in splits:
    return
  bad, count = [], 0
  for number, values in enumerate(splits["test"]):
    try:
      found = annotations.parse(task, "test", number, values)
    except Exception:  # counted as a row that cannot be used
      continue
    count += 1
    row = {"reference": found.reference, "question": found.question}
    try:
      references.of_row(task, row)
    except Exception as error:
      bad.append(f"{found.id}: {error}"[:200])
  yield findings.verdict(
    task.name, "references can be compared", bad, count, ""
  )


def _candidates(task: tasks.Task, rows: Rows) -> findings.Assumption:
  """Whether the number of the candidate is what the target says."""
  key = task.needs[0]
  bad, compared, kinds = [], 0, set()
  for name, row in rows:
    if key not in row:
      continue
    kinds.add(type(row[key]).__name__)
    number = labels.canonical(row[key], "candidate")
    said = row.get(task.target)
    if number not in ("1", "2"):
      bad.append(f"{name}: {key}={row[key]!r}")
    elif isinstance(said, str):
      compared += 1
      label = answers.parse(task, said).label
      if labels.canonical(label, "candidate") != number:
        bad.append(f"{name}: {key}={row[key]!r}, the target says {label!r}")
  types = f", {', '.join(sorted(kinds))}"
  name = f"{key} is 1 or 2, as the target says"
  # Rows without a target tell nothing of what the numbers mean.
  count = compared + (len(bad) if not compared else 0)
  return findings.verdict(task.name, name, bad, count, types)


def _options(task: tasks.Task, rows: Rows) -> findings.Assumption:
  """Whether options are a list, and the answer is the text of one."""
  key = task.question_keys("train")["options"]
  bad, count = [], 0
  for name, row in rows:
    options = row.get(key)
    if options is None:
      continue
    if not isinstance(options, list):
      bad.append(
        f"{name}: options are {type(options).__name__}: {options!r}"[:120]
      )
    elif "answer" in row:
      count += 1
      if labels.key(row["answer"]) not in map(labels.key, options):
        bad.append(
          f"{name}: the answer {row['answer']!r} is none of {options}"[:160]
        )
  return findings.verdict(
    task.name,
    "options are a list, the answer a text of it",
    bad,
    max(count, len(bad)),
  )


def _vocabulary(task: tasks.Task, rows: Rows) -> findings.Assumption:
  """Whether every label is a class that the scorers know."""
  group = task.synonyms
  known = set(labels.synonyms(group).values())
  known |= {labels.canonical(name, group) for name in task.classes}
  bad, count = [], 0
  for name, row in rows:
    label = row.get(task.needs[0]) if task.needs else None
    if label is None and isinstance(row.get(task.target), str):
      label = answers.parse(task, row[task.target]).label
    if label is None:
      continue
    count += 1
    if labels.canonical(label, group) not in known:
      bad.append(f"{name}: {label!r}")
  return findings.verdict(
    task.name, "labels are in the scorers' table", bad, count, ""
  )
