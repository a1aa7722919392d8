"""The embedded world as a stranger's source: clips and labels, no reasoning."""

import csv
import json
import pathlib
import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from crab_jax import configs
from crab_jax.data import annotations
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import references
from crab_jax.synthetic import build
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import scenes

COLUMNS = (
  "task", "id", "split", "video", "audio", "image", "video2", "audio2",
  "label", "events", "question", "answer", "options", "question_type",
  "object", "expression", "exists", "box", "box_format", "points", "mask",
  "frame", "caption", "subset", "fid", "question_relation",
  "hint",
)  # fmt: skip


def truth(task: tasks.Task, found: annotations.Annotation) -> answers.Answer:
  """What a row of the world says, without its reasoning."""
  if found.target:
    return answers.parse(task, found.target)
  return references.read(task, found.reference)


class Known(NamedTuple):
  """What a stranger has of a video or of a sound, beside a question's answer."""

  events: list[dict[str, Any]]  # what is seen, or heard, and when
  things: tuple[scenes.Thing, ...]  # in view; none of a sound


def known(
  world: configs.World, task: tasks.Task, split: str
) -> dict[str, Known]:
  """Media path -> what is known of it.

  Args:
    world: its settings.
    task: each of whose clips is a video and a sound.
    split: of it.
  """
  planned = build.plan(task, split, world)
  jobs = planned.jobs if planned else []
  found = {}
  for video, audio in zip(jobs[::2], jobs[1::2], strict=True):
    things = video.content.things
    seen = [
      {"label": thing.name, "start": start, "end": end, "modality": "visual"}
      for thing in things
      for start, end in thing.spans
    ]
    heard = [
      {"label": s.name, "start": s.start, "end": s.end, "modality": "audio"}
      for s in audio.content.sounds
    ]
    found |= dict.fromkeys(video.targets, Known(seen, things))
    found |= dict.fromkeys(audio.targets, Known(heard, ()))
  return found


def hint(question: str, kind: str, things: Sequence[scenes.Thing]) -> str:
  """What a question needs of the picture that no event tells: colours, places.

  Args:
    question: which may name things by their colour alone.
    kind: whether it is about the picture.
    things: in view.
  """
  if "visual" not in kind.lower():
    return ""
  words = re.findall(r"\w+", question.lower())
  of_colour = {thing.colour: thing for thing in things}
  coloured = [
    f"the {word} one is the {of_colour[word].name}"
    for word in words
    if word in of_colour
  ]
  if coloured:
    return _sentence(coloured)
  return f"There is {phrasing.join([phrasing.thing(it) for it in things])}."


def _sentence(parts: list[str]) -> str:
  said = phrasing.join(parts)
  return f"{said[0].upper()}{said[1:]}."


def _numbers(*values: float) -> str:
  return ",".join(f"{value / 224:.9f}" for value in values)


def row(
  found: annotations.Annotation, values: dict[str, Any]
) -> dict[str, Any]:
  """A row of a CSV for a row of the world."""
  task, answer = found.task, truth(found.task, found)
  made: dict[str, Any] = {
    "task": task.name,
    "id": f"{task.name}-{found.split}-{found.row}",
    "split": found.split,
  }
  count: dict[str, int] = {}
  for kind, path in found.media:
    count[kind] = count.get(kind, 0) + 1
    made[f"{kind}{count[kind] if count[kind] > 1 else ''}"] = path
  if task.kind == "label":
    made["label"] = answer.label
    made["answer"] = answer.label if found.question else ""
    made["question"] = found.question.get("question", "")
    made["options"] = json.dumps(found.question.get("options", ""))
    made["question_type"] = values.get("type", values.get("question_type", ""))
  elif task.kind == "events":
    made["events"] = json.dumps([vars(event) for event in answer.events])
  elif task.kind == "caption":
    made["caption"] = answer.caption
  else:
    made |= _place(found, answer, values)
  return {k: v for k, v in made.items() if v != '""' and v is not None}


def _place(
  found: annotations.Annotation, answer: answers.Answer, values: dict[str, Any]
) -> dict[str, Any]:
  made: dict[str, Any] = {
    "object": values.get("a_obj", ""),
    "expression": found.question.get("description", ""),
    "frame": values.get("frame_idx", values.get("idx")),
    "box_format": "norm",
    "fid": values.get("fid", ""),
    "subset": values.get("split", ""),
  }
  if answer.exists is not None:
    made["exists"] = str(answer.exists).lower()
  if answer.box is not None:
    made["box"] = _numbers(*answer.box)
    made["points"] = ";".join(_numbers(*point) for point in answer.points)
  if found.mask and answer.exists is not False:
    made["mask"] = found.mask
  return made


def write(
  source: pathlib.Path,
  path: pathlib.Path,
  names=None,
  splits=tasks.SPLITS,
  labelled: Mapping[str, Known] | None = None,
) -> int:
  """Writes the CSV of a world; its number of rows.

  Args:
    source: the folder of the world.
    path: of the CSV.
    names: of the datasets; None: all.
    splits: of them.
    labelled: media path -> what the questions of a clip have beside their
      answers.
  """
  table = tasks.Tasks()
  rows = []
  for name, paths in annotations.find(source, table, names).items():
    for split in splits:
      if split in paths:
        for number, values in enumerate(annotations.read(paths[split])):
          found = annotations.parse(table[name], split, number, values)
          made = row(found, values)
          if labelled and (question := found.question.get("question")):
            beside = [labelled[media] for _, media in found.media]
            made["events"] = json.dumps([e for it in beside for e in it.events])
            things = [thing for it in beside for thing in it.things]
            made["hint"] = hint(question, made["question_type"], things)
          rows.append(made)
  with open(path, "w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
  return len(rows)
