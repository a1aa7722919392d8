"""Cells of CSV and JSONL."""

import pytest

from crab_jax.annotation import cells
from crab_jax.evaluation.reading import intervals

_DOG = intervals.Event("Dog", 0.0, 4.0)
_SPEECH = intervals.Event("Speech", 2.0, 9.5, "audio")


@pytest.mark.parametrize(
  "cell",
  [
    "Dog@0-4;Speech@2-9.5:audio",
    " Dog @ 0 - 4 ; Speech@2-9.5:Audio ; ",
    '[{"label": "Dog", "start": 0, "end": 4}, {"label": "Speech",'
    ' "start": "2", "end": 9.5, "modality": "audio"}]',
    [
      {"label": "Dog", "start": 0, "end": 4, "modality": None},
      {"label": "Speech", "start": 2, "end": 9.5, "modality": "audio"},
    ],
  ],
)
def test_events(cell):
  assert cells.events(cell) == (_DOG, _SPEECH)


def test_a_label_of_events_may_hold_signs():
  (event,) = cells.events("dog; big@home@1-2")
  assert event == intervals.Event("dog; big@home", 1.0, 2.0)
  assert cells.events("[]") == ()


@pytest.mark.parametrize(
  "cell",
  ["Dog", "Dog@4-2", "Dog@1-1", "Dog@1-2:smell", "@1-2", "Dog@1.2.3-4", "[{]",
   [{"label": "Dog"}], {"label": "Dog"}, "Dog@1-2 and more", 7],
)  # fmt: skip
def test_no_events(cell):
  with pytest.raises(ValueError, match=r"event|JSON|seconds"):
    cells.events(cell)


@pytest.mark.parametrize(
  ("cell", "label"),
  [("  Church  bell. ", "Church bell"), ('"Dog"', "Dog"), ("1.0", "1.0"),
   (2, "2"), (2.0, "2"), (True, "true"), ("狗（叫）", "狗(叫)"), ("a &amp; b", "a & b")],
)  # fmt: skip
def test_a_label_is_what_an_answer_states(cell, label):
  assert cells.label(cell) == label


def test_lists():
  assert cells.listed("a; b;") == ("a", "b")
  assert cells.listed('["a; b", 3]') == ("a; b", "3")
  assert cells.labels("Dog.;Cat") == ("Dog", "Cat")


def test_numbers():
  assert cells.box("1, 2,3 4.5") == (1, 2, 3, 4.5)
  assert cells.box([1, 2, 3, 4]) == (1, 2, 3, 4)
  assert cells.points("1,2;3,4") == ((1, 2), (3, 4))
  assert cells.points("[[1, 2], [3, 4]]") == ((1, 2), (3, 4))
  assert cells.frame("7") == (7, None)
  assert cells.frame(7) == (7, None)
  assert cells.frame("1.5s") == (None, 1.5)
  for read, cell in (
    (cells.box, "1,2,3"), (cells.box, "1,2,3,nan"), (cells.box, None),
    (cells.points, "1;2"), (cells.frame, "-1"), (cells.frame, "x"),
    (cells.seconds, "-1"), (cells.seconds, "inf"), (cells.seconds, True),
  ):  # fmt: skip
    with pytest.raises(ValueError, match="it should be"):
      read(cell)


def test_true_and_false():
  assert [cells.boolean(c) for c in ("TRUE", True, 1, "no", 0)] == [
    True, True, True, False, False,
  ]  # fmt: skip
  with pytest.raises(ValueError, match="true or false"):
    cells.boolean("maybe")
