"""Boxes and points: the two spellings, and what is read with leniency."""

import pytest

from crab_jax.evaluation.reading import coordinates


@pytest.mark.parametrize(
  ("text", "box", "leniency"),
  [
    ("[1,2,30,40]", (1, 2, 30, 40), set()),
    ("<obj>(1,2)(30,40)</obj>", (1, 2, 30, 40), set()),
    ("[9,9,10,10] [1,2,30,40]", (9, 9, 10, 10), set()),
    ("[1, 2, 30, 40]", (1, 2, 30, 40), {"box_style"}),
    ("(1,2,30,40)", (1, 2, 30, 40), {"box_style"}),
    ("[1.4,2.6,30,40]", (1, 3, 30, 40), {"box_style"}),
    ("[30,40,1,2]", (1, 2, 30, 40), {"corners_reordered"}),
    ("[1,2,300,40]", (1, 2, 223, 40), {"clamped"}),
    ("[-5,2,30,40]", (0, 2, 30, 40), {"box_style", "clamped"}),
    ("<obj> (1,2), (30,40) </obj>", (1, 2, 30, 40), {"box_style"}),
  ],
)
def test_box(text, box, leniency):
  took = set()
  assert coordinates.read_box(f"It is {text}.", took) == (box, None)
  assert took == leniency


@pytest.mark.parametrize(
  ("text", "failure"),
  [
    ("[5,5,5,9]", "empty_box"),
    ("[300,2,400,9]", "empty_box"),
    ("[1,2,3]", None),
    ("[1,2,3,99999999]", None),
  ],
)
def test_no_box(text, failure):
  assert coordinates.read_box(text, set()) == (None, failure)


def test_corners_of_an_object_are_no_points():
  took = set()
  text = "<obj>(1,2)(30,40)</obj> [7,8] (9, 230)"
  assert coordinates.read_points(text, took) == ((7, 8), (9, 223))
  assert took == {"point_style", "clamped"}


def test_the_last_three_points_count():
  text = "[1,1] [2,2] [3,3] [4,4]"
  assert coordinates.read_points(text, set()) == ((2, 2), (3, 3), (4, 4))
