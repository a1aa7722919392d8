"""The messages to a teacher: what it sees and hears, and what it is asked."""

import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import items
from crab_jax.annotation import writer_template
from crab_jax.data import tasks

_OURS = pathlib.Path(__file__).parents[1] / "annotate_prompts.json"
_TEXTS = (
  "system", "clip", "clip_video", "perceive", "reason", "from_notes", "again", "reply",
  "lines", "judge", "probe", "times", "times_modal",
)  # fmt: skip
_OF_KIND = {
  "label": "action",
  "events": "localization",
  "place": "segmentation",
  "existence": "existence",
}
SCHEMA = {
  "type": "json_schema",
  "json_schema": {
    "name": "explanation",
    "strict": True,
    "schema": {
      "type": "object",
      "properties": {
        "seen": {"type": "string"},
        "heard": {"type": "string"},
        "reasoning": {"type": "string"},
        "doubt": {"type": "integer", "minimum": 0, "maximum": 3},
        "why": {"type": "string"},
      },
      "required": ["seen", "heard", "reasoning", "doubt", "why"],
      "additionalProperties": False,
    },
  },
}


@dataclasses.dataclass(frozen=True)
class Prompts:
  """The texts of a file.

  Attributes:
    texts: by name.
    families: the label as a fact.
    examples: reasonings that are good.
    hash: of the file.
  """

  texts: Mapping[str, str]
  families: Mapping[str, str]
  examples: Mapping[str, list[str]]
  hash: str


def load(path: files.Path | None) -> Prompts:
  """The texts of a file; None: ours.

  Raises:
    UserError: no such file, or not of its form.
  """
  file = _OURS if path is None else path
  try:
    data = file.read_bytes()
    tree = json.loads(data)
    found = Prompts(
      {name: str(tree[name]) for name in _TEXTS},
      dict(tree["families"]),
      dict(tree.get("examples", {})),
      hashlib.sha256(data).hexdigest(),
    )
  except OSError as error:
    raise errors.UserError(f"prompts {file}: {error}") from None
  except (ValueError, TypeError) as error:
    raise errors.UserError(f"prompts {file} are no JSON: {error}") from None
  except KeyError as error:
    raise errors.UserError(f"prompts {file} lack {error}") from None
  if missing := sorted({*_OF_KIND.values()} - {*found.families}):
    raise errors.UserError(
      f"prompts {file} lack families: {', '.join(missing)}"
    )
  return found


def fill(text: str, /, **slots: str) -> str:
  """The text with its slots filled; other braces stay, as those of JSON."""
  return re.sub(r"\{(\w+)\}", lambda match: slots.get(match[1], match[0]), text)


def family(task: tasks.Task, prompts: Prompts) -> str:
  """Which sentences a task takes."""
  if task.kind == "existence":
    return "existence"
  return task.family if task.family in prompts.families else _OF_KIND[task.kind]


def fact(item: items.Item, task: tasks.Task, prompts: Prompts) -> str:
  """The label of a row as a sentence."""
  slots = writer_template.slots(item, task)
  return fill(prompts.families[family(task, prompts)], **slots)


def request(
  item: items.Item,
  task: tasks.Task,
  prompts: Prompts,
  *,
  media: list[dict[str, Any]],
  language: str,
  reason: str = "",
  notes: str = "",
  shown: Sequence[str] = (),
) -> list[dict[str, Any]]:
  """The messages that ask for a reasoning.

  Args:
    item: the row.
    task: its row of the table of tasks.
    prompts: the texts.
    media: parts of a message with frames and sound; [] where notes stand for
      them.
    language: of the text.
    reason: why the last text was not good; "": there was none.
    notes: of the first pass.
    shown: examples; (): those of the prompts.
  """
  texts = prompts.texts
  said = [
    fill(texts["reason"], facts=fact(item, task, prompts), language=language)
  ]
  if notes:
    said.insert(0, fill(texts["from_notes"], notes=notes))
  if helpful := writer_template.helps(item):
    said.append(helpful)
  if examples := shown or prompts.examples.get(family(task, prompts)):
    said.append(f"Good texts about other clips: {' / '.join(examples)}")
  if reason:
    said.append(fill(texts["again"], reason=reason))
  return _messages(prompts, item, media, " ".join(said), "reply")


def perceive(
  item: items.Item, prompts: Prompts, media: list[dict[str, Any]]
) -> list[dict[str, Any]]:
  """The messages that ask what is seen and heard, without the label."""
  return _messages(prompts, item, media, prompts.texts["perceive"], "reply")


def times(
  item: items.Item,
  prompts: Prompts,
  media: list[dict[str, Any]],
  labels: str,
  modal: bool,
  reason: str,
) -> list[dict[str, Any]]:
  """The messages that ask when the labels of a clip happen.

  Args:
    item: the row.
    prompts: the texts.
    media: parts of a message with frames and sound.
    labels: with semicolons between.
    modal: whether it matters what is seen and what is heard.
    reason: why the last reply was not good; "": there was none.
  """
  texts, length = prompts.texts, f"{item.length:g}"
  said = [fill(texts["times"], labels=labels, length=length)]
  said += [texts["times_modal"]] if modal else []
  said += [fill(texts["again"], reason=reason)] if reason else []
  return _messages(prompts, item, media, " ".join(said), "reply")


def judge(
  item: items.Item, prompts: Prompts, media: list[dict[str, Any]], text: str
) -> list[dict[str, Any]]:
  """The messages that ask whether a text is supported."""
  asked = fill(prompts.texts["judge"], text=text)
  return _messages(prompts, item, media, asked, None)


def _messages(
  prompts: Prompts,
  item: items.Item,
  media: list[dict[str, Any]],
  asked: str,
  form: str | None,
) -> list[dict[str, Any]]:
  texts = prompts.texts
  parts: list[dict[str, Any]] = []
  if media:
    length = f"{item.length:g}" if item.length is not None else "some"
    is_video = any(part["type"] == "video_url" for part in media)
    begin = texts["clip_video" if is_video else "clip"]
    parts += [_text(fill(begin, length=length)), *media]
  tail = f" {texts[form]}" if form else ""
  parts.append(_text(f"{asked}{tail}"))
  return [
    {"role": "system", "content": texts["system"]},
    {"role": "user", "content": parts},
  ]


def _text(text: str) -> dict[str, str]:
  return {"type": "text", "text": text}
