"""The words of the world and its held-out combinations."""

import numpy as np

from crab_jax.synthetic import attributes


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


def test_each_instrument_mouth_and_motion_misses_one_colour():
  for held_out, words in (
    (attributes.held_out_colour, attributes.INSTRUMENTS),
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
