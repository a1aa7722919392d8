"""Whether a row of one's own goes together, before anything is made of it."""

import dataclasses
import json
import re
import string
from collections.abc import Iterator
from collections.abc import Mapping

from crab_jax import errors
from crab_jax.data import prompts
from crab_jax.data import tasks
from crab_jax.data import windows

_NAME = re.compile(r"[a-z][a-z0-9_]*")  # it names folders, files and ids
_RESERVED = ("all", *tasks.FAMILIES)  # `predict` and studies know these names
_QUESTION_FIELDS = ("question", "options", "description")
_MASKS = ("labels", "gt_mask")


@dataclasses.dataclass(frozen=True)
class Scoring:
  """What the scorers know, for the check of a row.

  Attributes:
    kinds: metric -> the forms of an answer that it scores.
    masked: metrics that compare masks.
    synonyms: groups of synonyms.
  """

  kinds: Mapping[str, tuple[str, ...]]
  masked: tuple[str, ...]
  synonyms: tuple[str, ...]


def check(task: tasks.Task, where: str) -> None:
  """Checks what a row says.

  Args:
    task: a row of one's own.
    where: names it in messages.

  Raises:
    UserError: the first of its problems.
  """
  for problem in _problems(task, where):
    raise errors.UserError(f"{where}: {problem}")


def check_scoring(task: tasks.Task, scoring: Scoring, where: str) -> None:
  """Checks that the scorers can score a row; for the arguments see `check`.

  Raises:
    UserError: they lack its metric, or its group of synonyms.
  """
  known = scoring.kinds
  if task.metric not in known:
    raise errors.UserError(f"{where}: {_unknown('metric', task.metric, known)}")
  if task.kind not in known[task.metric]:
    fitting = [name for name, kinds in known.items() if task.kind in kinds]
    raise errors.UserError(
      f'{where}: the metric "{task.metric}" does not score the kind'
      f' "{task.kind}"; those that do are {", ".join(fitting)}'
    )
  if task.metric in scoring.masked and task.mask is None:
    raise errors.UserError(
      f'{where}: the metric "{task.metric}" needs the key "mask"'
    )
  if task.synonyms is not None and task.synonyms not in scoring.synonyms:
    problem = _unknown("synonyms", task.synonyms, scoring.synonyms)
    raise errors.UserError(f"{where}: {problem}")


def _problems(task: tasks.Task, where: str) -> Iterator[str]:
  if not _NAME.fullmatch(task.name) or task.name in _RESERVED:
    yield (
      "a name has small letters, digits and underscores, begins with a"
      f" letter and is none of {', '.join(_RESERVED)}"
    )
  if not _NAME.fullmatch(task.family):
    yield (
      f'"family" "{task.family}" must be one of {", ".join(tasks.FAMILIES)},'
      " or a name of small letters, digits and underscores"
    )
  if task.kind not in tasks.KINDS:
    yield _unknown("kind", task.kind, tasks.KINDS)
  if task.window not in windows.RULES:
    yield _unknown("window", task.window, windows.RULES)
  yield from _media_problems(task)
  yield from _wording_problems(task, where)
  yield from _reference_problems(task)


def _media_problems(task: tasks.Task) -> Iterator[str]:
  for column in ("media", "test_media"):
    keys = getattr(task, column)
    if keys is not None and _kinds(keys) not in _MEDIA:
      yield (
        f'"{column}" {json.dumps(keys)} must be the keys of one video or'
        " image and one audio, of two videos and an audio, or of a video and"
        " two audios; a key begins with video, image, visual or audio"
      )
  if task.test_media and _kinds(task.test_media) != _kinds(task.media):
    yield '"test_media" has other kinds of files than "media"'
  if task.visual == "image" and task.frames != 1:
    yield f'"frames" must be 1 for an image, it is {task.frames}'
  if task.visual == "video" and task.frames < 2:
    yield '"frames" must be at least 2 for a video'
  if task.mask is not None and task.mask not in _MASKS:
    yield _unknown("mask", task.mask, _MASKS)
  # The true mask is found beside the image, the first of the media.
  if task.mask and not task.media[0].startswith(tasks.IMAGES):
    yield '"mask" needs an image as the first of "media"'
  if (task.index or task.test_index) and not task.window.startswith("one_"):
    yield f'"window" "{task.window}" takes no "index"'


def _wording_problems(task: tasks.Task, where: str) -> Iterator[str]:
  if task.lead_in is None:
    yield 'lacks the key "lead_in"'
    return
  if task.question is None:
    yield 'lacks the key "question"'
    return
  for field, _, _ in task.fields:
    if field not in _QUESTION_FIELDS:
      yield _unknown("fields", field, _QUESTION_FIELDS)
  prompts.check_placeholders(task.question, task, where)


def _reference_problems(task: tasks.Task) -> Iterator[str]:
  if task.has_test and not task.reference:
    yield 'lacks the key "reference" (or "has_test": false)'
  if not task.has_test and task.reference:
    yield '"reference" is of test.json, and "has_test" is false'
  try:
    pieces = list(string.Formatter().parse(task.reference))
  except ValueError as error:
    yield f'"reference" {json.dumps(task.reference)}: {error}'
    return
  for name in (piece[1] for piece in pieces if piece[1] is not None):
    key = re.split(r"[.\[]", name)[0]
    if key not in task.needs:
      yield f'"reference" has the placeholder {{{name}}}, which "needs" lacks'
  if task.classes and task.kind not in ("label", "events"):
    yield f'"classes" are of labels and events, "kind" is "{task.kind}"'
  if len(set(task.classes)) < len(task.classes):
    yield '"classes" names one twice'


# Kinds of the media of a task, in any order.
_MEDIA = (
  ["audio", "video"],
  ["audio", "image"],
  ["audio", "video", "video"],
  ["audio", "audio", "video"],
)


def _kinds(keys: tuple[str, ...]) -> list[str]:
  """The kinds of media files, sorted; "" where a key tells none."""
  beginnings = {"video": "video", "audio": "audio"}
  beginnings |= dict.fromkeys(tasks.IMAGES, "image")
  return sorted(
    next((k for b, k in beginnings.items() if key.startswith(b)), "")
    for key in keys
  )


def _unknown(column: str, value: str, known) -> str:
  return f'unknown "{column}" "{value}"; there are {", ".join(known)}'
