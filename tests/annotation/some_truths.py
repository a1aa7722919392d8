"""Random truths of every task, for the properties of targets."""

import numpy as np

from crab_jax.annotation import truths
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals
from tests.data import own_rows

# Labels as published sets spell them, and what a user may write.
LABELS = (
  "Church bell", "playing_piano", "Male speech, man speaking", "R&B",
  "Train horn", "people marching", "ApplyEyeMakeup", "Basketball_Dunk",
  "dog (barking)", "rock-paper-scissors", "tap dance: fast", "more than ten",
  "yes", "zero", "2", "left", "高兴", "naïve singing", "C# 4/4",
  "cat 3", "class 7b", "U.S.A", "fireworks banging", "5 o'clock",
)  # fmt: skip
LETTERS = list(
  "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789 _-,.;:!?()[]<>/&'\"é"
)


def table() -> tasks.Tasks:
  """The built-in tasks and two of a task file."""
  tree = {"machine": own_rows.MACHINE, "horn": own_rows.HORN}
  return task_files.read_table(tree, "test")


def label(rng: np.random.Generator) -> str:
  """A label of the list, or three of four times one of random words."""
  if rng.random() < 0.25:
    return str(rng.choice(LABELS))
  words = [
    "".join(rng.choice(LETTERS[:26], rng.integers(2, 9)))
    for _ in range(rng.integers(1, 4))
  ]
  return " ".join(words)


def truth(
  rng: np.random.Generator, task: tasks.Task, whole: bool = True
) -> truths.Truth:
  """A truth of a task; `whole`: times are whole seconds."""
  if task.kind == "events":
    events = [_event(rng, label(rng), whole) for _ in range(rng.integers(0, 5))]
    return truths.of_events(events, task, whole)
  if task.kind in ("place", "existence"):
    return _placed(rng, task)
  if task.kind == "caption":
    return truths.Truth(
      answers.Answer("caption", caption=f"{label(rng)} is on.")
    )
  text = str(rng.integers(1, 3)) if task.family == "matching" else label(rng)
  return truths.Truth(answers.Answer("label", label=text))


def _event(rng, name: str, whole: bool) -> intervals.Event:
  start = float(rng.uniform(0, 9))
  end = float(rng.uniform(start + 0.1, 10))
  if whole:
    start, end = np.floor(start), np.ceil(end)
  modality = str(rng.choice(["visual", "audio", "both"]))
  return intervals.Event(name, float(start), float(end), modality)


def _placed(rng, task: tasks.Task) -> truths.Truth:
  exists = bool(rng.integers(2)) if task.kind == "existence" else None
  if exists is False or (task.kind == "existence" and task.mask is None):
    return truths.Truth(answers.Answer("existence", exists=exists), label(rng))
  (x1, y1), (x2, y2) = rng.integers(0, 200, 2), rng.integers(200, 224, 2)
  box = tuple(map(int, (x1, y1, x2, y2)))
  marks = (
    ()
    if task.mask is None
    else tuple(tuple(map(int, rng.integers(0, 224, 2))) for _ in range(3))
  )
  answer = answers.Answer(task.kind, exists=exists, box=box, points=marks)
  return truths.Truth(answer, label(rng))
