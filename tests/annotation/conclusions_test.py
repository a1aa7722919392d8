"""Conclusions: whatever the label, the target is read back as it."""

import numpy as np
import pytest

from crab_jax.annotation import cells
from crab_jax.annotation import conclusions
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.data import targets
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import labels
from tests.annotation import some_truths

_REASONING = "Something is seen and heard from second 2 to 4, as it seems."
_TABLE = some_truths.table()


def _check(rng, rounds):
  for index in range(rounds):
    task = _TABLE[list(_TABLE)[index % len(_TABLE)]]
    whole = index % 5 > 0
    truth = some_truths.truth(rng, task, whole)
    text = conclusions.target(_REASONING, truth)
    if task.kind == "caption":
      text = conclusions.target("", truth)
    read = answers.parse(task, text)
    assert read.failure is None
    assert not read.unread
    for name in ("label", "events", "exists", "box", "points", "caption"):
      assert getattr(read, name) == getattr(truth.answer, name), text
    if whole:
      assert not read.leniency, text


def test_a_target_is_read_back_as_its_label():
  _check(np.random.default_rng(0), 1500)


@pytest.mark.slow
def test_a_hundred_thousand_targets_are_read_back():
  _check(np.random.default_rng(1), 100_000)


def test_any_label_is_stated_or_refused():
  """Of random signs, which may look like tags, times or boxes."""
  rng = np.random.default_rng(2)
  stated = refused = 0
  for index in range(2000):
    task = _TABLE[("ks", "unav", "avvp", "s4")[index % 4]]
    signs = "".join(rng.choice(some_truths.LETTERS, rng.integers(1, 14)))
    name = labels.key(signs) and cells.label(signs)
    if not name:
      continue
    event = intervals.Event(name, 1.0, 3.0)
    if task.kind == "label":
      truth = truths.Truth(answers.Answer("label", label=name))
    elif task.kind == "events":
      truth = truths.of_events([event], task, True)
    else:
      answer = answers.Answer(
        "place", box=(1, 2, 3, 4), points=((1, 2), (2, 3), (3, 4))
      )
      truth = truths.Truth(answer, name)
    try:
      conclusions.require_sayable(task, truth)
    except truths.Unbuildable as error:
      assert error.status == "unsayable"
      refused += 1
      continue
    stated += 1
    text = conclusions.target(_REASONING, truth)
    assert conclusions.difference(task, text, truth) is None, text
  assert stated > 1000
  assert refused > 20


@pytest.mark.parametrize(
  ("task", "answer", "text"),
  [
    ("ks", {"label": "Singing"}, "<answer>Singing</answer>."),
    (
      "ref_avs",
      {"exists": False},
      "<answer>false</answer>, it is not there.",
    ),
    (
      "ref_avs",
      {"exists": True, "box": (1, 2, 30, 40), "points": ((5, 6),) * 3},
      "<answer>true</answer>, the drum is at [1,2,30,40],"
      " points [5,6], [5,6], [5,6].",
    ),
    ("arig", {"box": (1, 2, 30, 40)}, "The drum is at [1,2,30,40]."),
    ("unav", {}, "<event>none</event>."),
  ],
)
def test_the_forms(task, answer, text):
  row = tasks.Tasks()[task]
  truth = truths.Truth(answers.Answer(row.kind, **answer), "drum")
  assert conclusions.state(truth) == text
  whole = conclusions.target(_REASONING, truth)
  assert targets.bare_answer(row, whole) == text.replace(
    ", it is not there.", ""
  )


def test_events_are_grouped_by_modality_and_label():
  told = [
    intervals.Event("Dog", 6, 8.2),
    intervals.Event("Cat", 1, 2, "audio"),
    intervals.Event("Dog", 0.4, 3),
    intervals.Event("Dog", 2.5, 4),
  ]
  truth = truths.of_events(told, tasks.Tasks()["avvp"], whole=True)
  assert conclusions.state(truth) == (
    "<visual>Dog, (0 4)(6 9)</visual> <audio>Dog, (0 4)(6 9)</audio>"
    " <audio>Cat, (1 2)</audio>."
  )
  truth = truths.of_events(told, tasks.Tasks()["unav"], whole=True)
  assert conclusions.state(truth) == (
    "<event>Dog, (0 4)(6 9)</event> <event>Cat, (1 2)</event>."
  )


def test_another_answer_in_the_reasoning_is_seen():
  row = tasks.Tasks()["s4"]
  answer = answers.Answer(
    "place", box=(9, 9, 80, 80), points=((1, 2), (2, 3), (3, 4))
  )
  truth = truths.Truth(answer, "drum")
  good = conclusions.target(_REASONING, truth)
  bad = conclusions.target("It is near [5,5,60,60].", truth)
  assert conclusions.difference(row, good, truth) is None
  assert "further_box" in conclusions.difference(row, bad, truth)


@pytest.mark.parametrize(
  ("values", "box"),
  [
    ({"box": (0, 0, 320, 240)}, (0, 0, 223, 223)),
    ({"box": (32, 24, 32, 24), "box_format": "xywh"}, (22, 22, 45, 45)),
    ({"box": (0.5, 0.25, 1, 1), "box_format": "norm"}, (112, 56, 223, 223)),
  ],
)
def test_a_box_is_on_the_grid(values, box):
  row = rows.Row("here", object="drum", **values)
  found = truths.of_place(row, tasks.Tasks()["arig"], (320, 240), None)
  assert found.answer.box == box
  assert found.answer.points == ()


def test_a_box_without_extent_is_refused():
  row = rows.Row("here", object="drum", box=(5, 5, 5.1, 90))
  with pytest.raises(truths.Unbuildable) as found:
    truths.of_place(row, tasks.Tasks()["arig"], (320, 240), None)
  assert found.value.status == "empty_box"


def test_a_label_that_reads_like_a_remark_is_stated_where_it_is_known():
  """As the scorers read it, which know the true labels."""
  row = tasks.Tasks()["avqa"]
  truth = truths.Truth(answers.Answer("label", label="it's raining"))
  conclusions.require_sayable(row, truth)
