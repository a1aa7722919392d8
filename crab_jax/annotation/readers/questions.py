"""Sets of questions: MUSIC-AVQA, AVQA."""

import ast
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
  question = _filled(row["question_content"], _inner(row["templ_values"]))
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


def _filled(content: str, values: list[str]) -> str:
  """A question with its values, which stand in the order of its slots."""
  slots = len(_SLOT.findall(content))
  if len(values) < slots:
    raise ValueError(f"{slots} slots, and {len(values)} values for them")
  rest = iter(values)
  return _SLOT.sub(lambda _: next(rest), content)


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
  lists = []
  for path in files.find(folder, "*.json"):
    name = os.path.basename(path).lower()
    split = next((s for w, s in source.SPLITS.items() if w in name), None)
    rows = source.document(path)
    if split is not None and isinstance(rows, list):
      lists.append((path, split, rows))
  if not lists:
    raise errors.UserError(
      f"{folder} has no JSON list named train, val or test"
    )
  base = _base([row for _, _, rows in lists for row in rows])
  for path, split, _ in lists:
    yield from source.items(
      path, functools.partial(_choice, split=split, base=base)
    )


def _base(rows: list) -> int | None:
  """Whether numbers of options begin at 0 or 1; None: they do not tell.

  Only 0, or the number of the options itself, occurs in one of the two ways.
  """
  for row in rows:
    try:
      options, answer = _options(row), str(row["answer"])
    except (ValueError, LookupError, TypeError, SyntaxError):
      continue  # damaged: told where it is read
    if answer.isdecimal() and answer not in options:
      if int(answer) == 0:
        return 0
      if int(answer) == len(options):
        return 1
  return None


def _options(row: dict[str, Any]) -> list[str]:
  """The options: a list, or one that is text."""
  found = row["multi_choice"]
  if isinstance(found, str):
    found = ast.literal_eval(found)
  if not isinstance(found, list):
    raise ValueError(f"multi_choice is no list: {row['multi_choice']!r}")
  return [str(option) for option in found]


def _choice(
  row: dict[str, Any], split: str, base: int | None
) -> dict[str, Any]:
  try:
    options = _options(row)
  except SyntaxError:
    raise ValueError(f"multi_choice: {row['multi_choice']!r}") from None
  answer = str(row["answer"])
  if answer not in options and answer.isdecimal():
    if base is None:
      raise ValueError(
        f"the answer is the number {answer}, and no row tells whether numbers"
        " begin at 0 or 1: write the texts of the answers"
      )
    if not 0 <= int(answer) - base < len(options):
      raise ValueError(f"the answer {answer} is the number of no option")
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
