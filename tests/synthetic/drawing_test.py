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
@pytest.mark.parametrize("side", sorted(set(scenes.STILL.values())))
@pytest.mark.parametrize("size", [64, 112, 224])
def test_mask_fills_its_box_and_holds_its_points(name, side, size):
  thing = scenes.Thing(name, "red", "southeast", side=side)
  mask = drawing.mask([thing], size)
  assert set(np.unique(mask)) == {0, 255}
  assert _extent(mask, size) == thing.box
  for x, y in thing.points:
    assert mask[y * size // 224, x * size // 224] == 255


@pytest.mark.parametrize("name", attributes.INSTRUMENTS)
def test_picture_shows_the_thing_where_its_mask_is(name):
  thing = scenes.Thing(name, "yellow", "northwest", side=84)
  frame = drawing.picture(_scene(thing), 112).astype(int)
  yellow = (frame[..., 0] > 200) & (frame[..., 2] < 80)
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
  thing = scenes.Thing("drum", "red", "northwest", spans=((1, 3),))
  video = drawing.frames(_scene(thing, seconds=4), 112, fps=4)
  white = (video.min(-1) > 250)[:, :52].any((1, 2))  # above its timeline
  assert white.reshape(4, 4).tolist() == [[s in (1, 2)] * 4 for s in range(4)]
  beats = (video[::4] != video[1::4]).any((1, 2, 3))
  assert beats.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
  ("motion", "moves"),
  [
    ("standing", (False, False)),
    ("sliding", (True, False)),
    ("jumping", (False, True)),
    ("swinging", (True, True)),
  ],
)
def test_motion_moves_along_its_axes(motion, moves):
  thing = scenes.Thing("dancer", "red", "northwest", motion=motion)
  scene = _scene(thing, seconds=5)
  centres = []
  for frame in drawing.frames(scene, 112, fps=4).astype(int):
    rows, columns = np.where(frame[..., 0] - frame[..., 1] > 90)
    centres.append((columns.mean(), rows.mean()))
  spread = np.ptp(centres, axis=0)
  assert tuple(spread > 15) == moves
  assert (spread[~np.array(moves)] < 3).all()


def test_a_motion_takes_ten_steps_whatever_the_length():
  for seconds in (5, 10):
    thing = scenes.Thing("dancer", "red", "northwest", motion="jumping")
    video = drawing.frames(_scene(thing, seconds=seconds), 112, fps=4)
    red = video[..., 0].astype(int) - video[..., 1] > 90
    rows = [np.where(frame)[0].mean() for frame in red]
    assert sum(abs(np.diff(rows)) > 5) == scenes.STEPS - 1


def test_a_spotlight_surrounds_its_thing():
  thing = scenes.Thing("bell", "blue", "southeast", spotlight=True)
  frame = drawing.picture(_scene(thing), 112)
  rows, columns = np.where(frame.min(-1) > 250)
  assert abs(rows.mean() - 84) < 8
  assert abs(columns.mean() - 84) < 8
  assert np.ptp(rows) > 36 < np.ptp(columns)


def test_each_quarter_has_a_timeline():
  video = drawing.frames(_scene(seconds=10), 112, fps=4)
  for top in (0, 56):
    for left in (0, 56):
      quarter = video[:, top : top + 56, left : left + 56]
      white = quarter.min(-1) > 250
      starts = [np.where(frame.any(0))[0].min() for frame in white]
      assert starts == [56 * (i // 4) // 10 for i in range(40)]
      assert not white[:, :-4].any()


def test_light_tells_the_quarters_apart():
  frame = drawing.picture(_scene(), 112).astype(int)
  top, bottom = frame[:56].mean(), frame[56:].mean()
  assert top - bottom > 30
  warmth = frame[..., 0] - frame[..., 2]
  assert warmth[:, :56].mean() - warmth[:, 56:].mean() > 60


def test_the_wall_is_grey_and_the_scenes_own():
  first = drawing.picture(_scene(), 112)
  other = dataclasses.replace(_scene(), seed=6)
  assert 90 < first.mean((0, 1)).min() < first.mean((0, 1)).max() < 140
  assert not (first == drawing.picture(other, 112)).all()
