"""The words of the world and its held-out combinations."""

import numpy as np

from crab_jax.synthetic import attributes


def test_places_are_the_nine_cells_row_by_row():
  assert attributes.PLACES == (
    "top left",
    "top",
    "top right",
    "left",
    "middle",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
  )


def test_streams_are_independent_and_repeatable():
  def draw(*key):
    return attributes.generator(*key).integers(2**31, size=4).tolist()

  assert draw(0, "ks", "train") == draw(0, "ks", "train")
  streams = [
    draw(seed, name, split)
    for seed in (0, 1)
    for name in ("ks", "ucf")
    for split in attributes.SPLITS
  ]
  assert len({tuple(stream) for stream in streams}) == len(streams)


def test_each_instrument_misses_one_colour_and_one_place():
  for name in attributes.INSTRUMENTS:
    colours = [
      c for c in attributes.COLOURS if attributes.held_out_colour(name, c)
    ]
    places = [
      p for p in attributes.PLACES if attributes.held_out_place(name, p)
    ]
    assert len(colours) == len(places) == 1


def test_each_mouth_and_motion_misses_one_colour():
  for held_out, words in (
    (attributes.held_out_mouth, attributes.MOUTHS),
    (attributes.held_out_motion, attributes.MOTIONS),
  ):
    for word in words:
      assert sum(held_out(word, c) for c in attributes.COLOURS) == 1


def test_only_the_test_split_wants_held_out_combinations():
  rng = np.random.default_rng(0)
  for split in ("train", "val"):
    assert not any(attributes.wants_held_out(rng, split) for _ in range(50))
  wanted = [attributes.wants_held_out(rng, "test") for _ in range(400)]
  assert abs(np.mean(wanted) - attributes.HELD_OUT_SHARE) < 0.08
