"""Pixels of scenes: boxes are exact, playing is visible, motion moves."""

import dataclasses

import numpy as np
import pytest

from crab_jax.synthetic import attributes
from crab_jax.synthetic import drawing
from crab_jax.synthetic import scenes


def _extent(mask: np.ndarray, size: int):
  """The box of a mask in the 224 frame, both corners inside."""
  rows, columns = np.where(mask)
  unit = 224 / size
  return (
    columns.min() * unit,
    rows.min() * unit,
    (columns.max() + 1) * unit - 1,
    (rows.max() + 1) * unit - 1,
  )


def _scene(*things, seconds=2):
  return scenes.Scene(seconds, things, (), seed=5, take=0)


@pytest.mark.parametrize("name", attributes.INSTRUMENTS)
@pytest.mark.parametrize("side", [scenes.SMALL, scenes.BIG])
@pytest.mark.parametrize("size", [64, 112, 224])
def test_mask_fills_its_box_and_holds_its_points(name, side, size):
  thing = scenes.Thing(name, "red", "bottom right", side=side)
  mask = drawing.mask([thing], size)
  assert set(np.unique(mask)) == {0, 255}
  assert _extent(mask, size) == thing.box
  for x, y in thing.points:
    assert mask[y * size // 224, x * size // 224] == 255


@pytest.mark.parametrize("name", attributes.INSTRUMENTS)
def test_picture_shows_the_thing_where_its_mask_is(name):
  thing = scenes.Thing(name, "yellow", "top left", side=scenes.BIG)
  frame = drawing.picture(_scene(thing), 112).astype(int)
  yellow = frame[..., 0] > 200
  black = frame.max(-1) < 20
  inside = drawing.mask([thing], 112) > 0
  assert (yellow | black)[inside].all()
  assert not (yellow | black)[~inside].any()
  assert yellow[inside].mean() > 0.3
  assert black[inside].mean() > 0.1


def test_silhouettes_differ():
  masks = [drawing.silhouette(n, 42)[0] for n in attributes.INSTRUMENTS]
  for i, first in enumerate(masks):
    for second in masks[:i]:
      shared = (first & second).sum() / (first | second).sum()
      assert shared < 0.75


def test_playing_is_seen_in_its_seconds_only():
  thing = scenes.Thing("drum", "red", "left", spans=((1, 3),))
  video = drawing.frames(_scene(thing, seconds=4), 112, fps=4)
  white = (video.min(-1) > 250).any((1, 2))
  assert white.reshape(4, 4).tolist() == [[s in (1, 2)] * 4 for s in range(4)]
  beats = (video[::4] != video[1::4]).any((1, 2, 3))
  assert beats.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
  ("motion", "moves"),
  [
    ("standing", (False, False)),
    ("sliding", (True, False)),
    ("jumping", (False, True)),
    ("circling", (True, True)),
  ],
)
def test_motion_moves_along_its_axes(motion, moves):
  thing = scenes.Thing("dancer", "red", "left", motion=motion, turns=2.0)
  scene = _scene(thing, seconds=5)
  centres = []
  for frame in drawing.frames(scene, 112, fps=4).astype(int):
    rows, columns = np.where(frame[..., 0] - frame[..., 1] > 90)
    centres.append((columns.mean(), rows.mean()))
  spread = np.ptp(centres, axis=0)
  assert tuple(spread > 40) == moves
  assert (spread[~np.array(moves)] < 3).all()


def test_the_wall_is_a_clock():
  video = drawing.frames(_scene(seconds=10), 112, fps=4)
  blue = video[..., 2].mean((1, 2)).reshape(10, 4)
  assert (np.diff(blue[:, 0]) > 5).all()
  assert (np.ptp(blue, axis=1) == 0).all()


def test_the_wall_is_grey_and_the_scenes_own():
  first = drawing.picture(_scene(), 112)
  other = dataclasses.replace(_scene(), seed=6)
  assert 60 < first.mean((0, 1)).min() < first.mean((0, 1)).max() < 160
  assert not (first == drawing.picture(other, 112)).all()
