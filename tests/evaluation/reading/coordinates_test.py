"""Boxes and points: the two spellings, and what is read with leniency."""

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import coordinates


def _read(text):
  leniency, unread = set(), []
  return coordinates.read(text, leniency, unread), leniency, unread


@pytest.mark.parametrize(
  ("text", "box", "leniency"),
  [
    ("[1,2,30,40]", (1, 2, 30, 40), set()),
    ("<obj>(1,2)(30,40)</obj>", (1, 2, 30, 40), set()),
    ("[1, 2, 30, 40]", (1, 2, 30, 40), {"box_style"}),
    ("(1,2,30,40)", (1, 2, 30, 40), {"box_style"}),
    ("[1 2 30 40]", (1, 2, 30, 40), {"box_style"}),
    ("[[1,2],[30,40]]", (1, 2, 30, 40), {"box_style"}),
    ("[(1, 2), (30, 40)]", (1, 2, 30, 40), {"box_style"}),
    (
      "<|box_start|>(1,2),(30,40)<|box_end|>",
      (1, 2, 30, 40),
      {"box_style"},
    ),
    ("<box>1 2 30 40</box>", (1, 2, 30, 40), {"box_style"}),
    ('{"x1": 1, "y1": 2, "x2": 30, "y2": 40}', (1, 2, 30, 40), {"box_style"}),
    ('{"bbox_2d": [1,2,30,40]}', (1, 2, 30, 40), set()),
    ("[x1=1, y1=2, x2=30, y2=40]", (1, 2, 30, 40), {"box_style"}),
    ("1, 2, 30, 40", (1, 2, 30, 40), {"box_style"}),
    ("[1.4,2.6,30,40]", (1, 3, 30, 40), {"box_style"}),
    ("[30,40,1,2]", (1, 2, 30, 40), {"corners_reordered"}),
    ("[1,2,300,40]", (1, 2, 223, 40), {"clamped"}),
    ("[-5,2,30,40]", (0, 2, 30, 40), {"box_style", "clamped"}),
    ("<obj> (1,2), (30,40) </obj>", (1, 2, 30, 40), {"box_style"}),
  ],
)
def test_box(text, box, leniency):
  place, took, unread = _read(f"It is {text}.")
  assert (place.box, place.failure, place.points) == (box, None, ())
  assert (took, unread) == (leniency, [])


@pytest.mark.parametrize(
  ("text", "failure", "unread"),
  [
    ("[5,5,5,9]", "empty_box", []),
    ("[300,2,400,9]", "empty_box", []),
    ("[0.1,0.2,0.5,0.9]", "box_of_fractions", []),
    ("[1,2,3]", "no_box", ["number_list"]),
    ("[1,2,3,4,5]", "no_box", ["number_list"]),
    ("<box>1 2 3</box>", "no_box", ["number_list"]),
    ("[1,2,3,99999999]", "no_box", []),
    ("model 1,2", "no_box", []),
  ],
)
def test_no_box(text, failure, unread):
  place, _, names = _read(text)
  assert (place.box, place.failure, names) == (None, failure, unread)


@pytest.mark.parametrize(
  ("text", "box"),
  [
    ("[9,9,10,10] [1,2,30,40]", (9, 9, 10, 10)),  # the first of equals
    ("dogs (1,2,3,4), at [10,20,110,120]", (10, 20, 110, 120)),
    ("(1,2,3,4) [10, 20, 110, 120]", (10, 20, 110, 120)),
    ("[1, 2, 3, 4] [10,20,110,120]", (10, 20, 110, 120)),
    ("1, 2, 3, 4 (10,20,110,120)", (10, 20, 110, 120)),
    ("(1,2,3,4) <box>10 20 110 120</box>", (10, 20, 110, 120)),
  ],
)
def test_of_two_boxes_one_counts_and_the_other_is_named(text, box):
  place, _, unread = _read(text)
  assert (place.box, unread) == (box, ["further_box"])


def test_a_box_that_is_said_twice_is_one():
  place, _, unread = _read("It is (1,2,30,40), so [1,2,30,40].")
  assert (place.box, unread) == ((1, 2, 30, 40), [])


def test_corners_of_an_object_are_no_points():
  place, took, _ = _read("<obj>(1,2)(30,40)</obj> [7,8] (9, 230)")
  assert place.points == ((7, 8), (9, 223))
  assert took == {"point_style", "clamped"}


def test_the_last_three_points_count():
  place, took, unread = _read("[1,1] [2,2] [3,3] [4,4]")
  assert place.points == ((2, 2), (3, 3), (4, 4))
  assert (took, unread) == (set(), ["further_point"])


_FORMS = (
  "[{},{},{},{}]", "[{}, {}, {}, {}]", "[{} {} {} {}]", "({},{},{},{})",
  "[[{},{}],[{},{}]]", "[[{}, {}], [{}, {}]]", "(({},{}),({},{}))",
  "<obj>({},{})({},{})</obj>", "<|box_start|>({},{}),({},{})<|box_end|>",
  "<box>[{},{},{},{}]</box>", "<bbox>{} {} {} {}</bbox>", "{{{},{},{},{}}}",
  "[x1: {}, y1: {}, x2: {}, y2: {}]", "[{};{};{};{}]", "{}, {}, {}, {}",
  "[{}.0, {}.0, {}.0, {}.0]", "[{}px, {}px, {}px, {}px]",
)  # fmt: skip
_LOW, _HIGH = st.integers(0, 110), st.integers(111, 223)


@hypothesis.given(
  box=st.tuples(_LOW, _LOW, _HIGH, _HIGH), form=st.sampled_from(_FORMS)
)
def test_every_writing_of_a_box_reads_back(box, form):
  place, took, unread = _read(f"The dog is at {form.format(*box)}.")
  assert (place.box, place.failure, unread) == (box, None, [])
  exact = form in ("[{},{},{},{}]", "<obj>({},{})({},{})</obj>")
  assert took == (set() if exact else {"box_style"})


@hypothesis.given(
  lists=st.lists(
    st.lists(st.integers(0, 223), min_size=2, max_size=6), max_size=5
  ),
  further=st.lists(st.integers(0, 223), min_size=2, max_size=6),
)
def test_a_further_list_is_counted(lists, further):
  def count(chosen):
    place, _, unread = _read(" ".join(map(str, chosen)).replace(", ", ","))
    return (place.failure != "no_box") + len(place.points) + len(unread)

  box = next((found for found in lists if len(found) == 4), None)
  hypothesis.assume(further != box)  # to say it again is to say nothing
  assert count([*lists, further]) > count(lists)
