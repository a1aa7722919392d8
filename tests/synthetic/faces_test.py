"""Faces: mouths can be told apart."""

import dataclasses
import itertools

import numpy as np
import pytest

from crab_jax.synthetic import attributes
from crab_jax.synthetic import faces
from crab_jax.synthetic import scenes

FACE = scenes.Face(4, "smile", "level", "yellow", seed=1)


def test_frames_have_the_length_of_the_clip():
  video = faces.frames(FACE, 112, fps=4)
  assert video.shape == (16, 112, 112, 3)
  assert video.dtype == np.uint8
  assert not (video[0] == video[1]).all()  # it nods


@pytest.mark.parametrize("pair", itertools.combinations(attributes.MOUTHS, 2))
def test_mouths_differ_below_the_eyes(pair):
  lower = [
    faces.frames(dataclasses.replace(FACE, mouth=mouth), 112, fps=1)[0, 60:]
    for mouth in pair
  ]
  assert (lower[0] != lower[1]).any(-1).sum() > 200


def test_a_smile_goes_up_at_its_ends_and_a_frown_down():
  heights = {}
  for mouth in ("smile", "frown"):
    face = dataclasses.replace(FACE, mouth=mouth)
    dark = faces.frames(face, 112, fps=1)[0, 60:].max(-1) < 40
    rows, columns = np.where(dark)
    ends = (columns <= columns.min() + 3) | (columns >= columns.max() - 3)
    middle = abs(columns - columns.mean()) < 3
    heights[mouth] = rows[middle].mean() - rows[ends].mean()
  assert heights["smile"] > 5
  assert heights["frown"] < -5
