"""Words."""

import pytest

from crab_jax.synthetic import phrasing
from crab_jax.synthetic import scenes


@pytest.mark.parametrize(
  ("words", "expected"),
  [("drum", "a drum"), ("open mouth", "an open mouth")],
)
def test_article(words, expected):
  assert phrasing.a(words) == expected


@pytest.mark.parametrize(
  ("parts", "expected"),
  [("x", "x"), ("xy", "x and y"), ("xyz", "x, y and z")],
)
def test_join(parts, expected):
  assert phrasing.join(parts) == expected


def test_things_and_tags():
  thing = scenes.Thing("drum", "red", "northwest")
  assert phrasing.thing(thing) == "a red drum northwest"
  assert phrasing.found(thing) == "the drum northwest"
  assert phrasing.answer(2) == "<answer>2</answer>"
  assert phrasing.box((1, 2, 3, 4)) == "[1,2,3,4]"


def test_there_are_three_ways_to_say_it():
  assert len(phrasing.STYLES) >= 3
  for field in ("sight", "hearing", "hence"):
    said = {getattr(style, field) for style in phrasing.STYLES}
    assert len(said) == len(phrasing.STYLES)
