"""Sets of questions: MUSIC-AVQA, AVQA."""

import functools
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation.readers import source

_SLOT = re.compile(r"<[^<>]*>")


def avqa(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """JSON lists; type and values are JSON in strings, the answer is `anser`."""
  for split in ("train", "val", "test"):
    paths = files.find(folder, f"avqa-{split}.json")
    if options.labels:
      paths = [p for p in paths if p.parent.name == options.labels]
    if len(paths) > 1:
      names = ", ".join(sorted(path.parent.name for path in paths))
      raise errors.UserError(
        f"{folder} has several avqa-{split}.json: say which by --labels, one"
        f" of {names}"
      )
    for path in paths:
      yield from source.items(path, functools.partial(_avqa, split=split))
    if not paths and split == "train":
      raise errors.UserError(f"{folder} has no avqa-train.json")


def _avqa(row: dict[str, Any], split: str) -> dict[str, Any] | source.Skip:
  if int(row.get("question_deleted") or 0):
    return source.Skip("deleted", f"question {row['question_id']} is deleted")
  values = iter(_inner(row["templ_values"]))
  # Values stand in the order of the slots.
  question = _SLOT.sub(lambda _: next(values), row["question_content"])
  kind = _inner(row["type"])
  return {
    "task": "avqa",
    "split": split,
    "group": row["video_id"],
    "video": (str(row["video_id"]),),
    "question": question,
    "answer": row["anser"] if "anser" in row else row["answer"],
    "question_type": json.dumps(kind),
    "question_id": row["question_id"],
    "video_id": row["video_id"],
    "source": "avqa",
  }


def _inner(value: Any) -> list[str]:
  """A list that is JSON in a string."""
  found = json.loads(value) if isinstance(value, str) else value
  if not isinstance(found, list):
    raise ValueError(f"{value!r} should hold a list")
  return [str(item) for item in found]


def avqa_thu(
  folder: files.Path, options: source.Options
) -> Iterator[source.Line]:
  """JSON lists with options; the answer is one of them, or its number."""
  found = False
  for path in files.find(folder, "*.json"):
    name = os.path.basename(path).lower()
    split = next((s for w, s in source.SPLITS.items() if w in name), None)
    rows = source.document(path)
    if split is None or not isinstance(rows, list):
      continue
    found = True
    base = _base(rows)
    yield from source.items(
      path, functools.partial(_choice, split=split, base=base)
    )
  if not found:
    raise errors.UserError(
      f"{folder} has no JSON list named train, val or test"
    )


def _base(rows: list) -> int:
  """Whether numbers of options begin at 0 or 1, by the values that occur."""
  numbers = {
    int(row["answer"])
    for row in rows
    if isinstance(row, dict) and str(row.get("answer")).isdecimal()
  }
  most = max(
    (len(row.get("multi_choice", ())) for row in rows if isinstance(row, dict)),
    default=0,
  )
  return 1 if numbers and min(numbers) >= 1 and max(numbers) == most else 0


def _choice(row: dict[str, Any], split: str, base: int) -> dict[str, Any]:
  options = row["multi_choice"]
  if isinstance(options, str):
    options = json.loads(options.replace("'", '"'))
  options = [str(option) for option in options]
  answer = str(row["answer"])
  if answer not in options and answer.isdecimal():
    answer = options[int(answer) - base]
  if answer not in options:
    raise ValueError(f"the answer {answer!r} is none of the options")
  return {
    "task": "avqa_thu",
    "split": split,
    "group": str(row.get("video_name") or row["video_id"]),
    "video": (str(row["video_name"]), str(row["video_id"])),
    "question": row["question_text"],
    "options": options,
    "answer": answer,
    "question_type": str(row.get("question_type", "")),
    "question_relation": row.get("question_relation", ""),
    "video_id": row["video_id"],
    "video_name": row["video_name"],
    "source": "avqa_thu",
  }
