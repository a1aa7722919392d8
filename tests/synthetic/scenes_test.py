"""Arrangements of things."""

import numpy as np
import pytest

from crab_jax.synthetic import attributes
from crab_jax.synthetic import scenes


@pytest.mark.parametrize("quarter", attributes.QUARTERS)
@pytest.mark.parametrize("side", sorted(set(scenes.STILL.values())))
def test_box_surrounds_the_centre_inside_the_frame(quarter, side):
  thing = scenes.Thing("drum", "red", quarter, side=side)
  x1, y1, x2, y2 = thing.box
  assert 0 <= x1 < x2 <= 223
  assert 0 <= y1 < y2 <= 223
  assert x2 - x1 + 1 == y2 - y1 + 1 == side
  assert thing.centre == ((x1 + x2 + 1) / 2, (y1 + y2 + 1) / 2)


def test_place_says_where_the_centre_is():
  centres = {
    quarter: scenes.Thing("drum", "red", quarter).centre
    for quarter in attributes.QUARTERS
  }
  assert centres == {
    "northwest": (56, 56),
    "northeast": (168, 56),
    "southwest": (56, 168),
    "southeast": (168, 168),
  }


@pytest.mark.parametrize("count", [1, 2, 3])
def test_arranged_things_differ_and_never_touch(count):
  rng = np.random.default_rng(count)
  for _ in range(200):
    names = scenes.instruments(rng, count)
    things = scenes.stills(scenes.arrange(rng, "train", names))
    assert {thing.name for thing in things} == set(names)
    numbers = [attributes.COLOURS.index(thing.colour) for thing in things]
    assert numbers == sorted(set(numbers))
    assert all(thing.side == scenes.STILL[thing.name] for thing in things)
    cover = np.zeros((224, 224), int)
    for thing in things:
      x1, y1, x2, y2 = thing.box
      cover[y1 : y2 + 1, x1 : x2 + 1] += 1
    assert cover.max() == 1


def test_held_out_combinations_appear_in_test_scenes_only():
  rng = np.random.default_rng(0)
  shares = {}
  for split in attributes.SPLITS:
    shown = [
      any(t.held_out for t in scenes.arrange(rng, split, ("drum", "bell")))
      for _ in range(300)
    ]
    shares[split] = np.mean(shown)
  assert shares["train"] == shares["val"] == 0
  assert abs(shares["test"] - attributes.HELD_OUT_SHARE) < 0.08


def test_solo_takes_differ_by_split_and_seed():
  takes = {
    scenes.solo_take(seed, split)
    for seed in (0, 1)
    for split in attributes.SPLITS
  }
  assert len(takes) == 6
  assert scenes.solo_take(0, "val") == scenes.solo_take(0, "val")
