"""The best constant mask."""

import numpy as np
import pytest

from crab_jax.evaluation.scoring import blind_masks
from crab_jax.evaluation.scoring import masks


def test_one_mask_is_guessed_exactly():
  packed = np.array([blind_masks.pack(masks.filled_box((3, 4, 50, 60)))])
  assert blind_masks.best_jaccard(packed) == 1


def test_two_halves():
  left, right = (
    masks.filled_box((0, 0, 111, 223)),
    ~masks.filled_box((0, 0, 111, 223)),
  )
  packed = np.array([blind_masks.pack(mask) for mask in (left, right)])
  # Either half or the whole frame: one half each, J 1/2 on average.
  assert blind_masks.best_jaccard(packed) == pytest.approx(0.5, abs=1e-9)


def test_it_is_the_best_of_its_candidates():
  rng = np.random.default_rng(0)
  truths = [
    masks.filled_box((x, y, x + 60, y + 40))
    for x, y in rng.integers(0, 120, (7, 2)).tolist()
  ]
  packed = np.array([blind_masks.pack(truth) for truth in truths])
  shape = (masks.SIZE, masks.SIZE)
  means = [
    np.mean([masks.jaccard(truth, guess.reshape(shape)) for truth in truths])
    for guess in blind_masks.candidates(packed)
  ]
  best = blind_masks.best_jaccard(packed)
  assert best == pytest.approx(max(means), abs=1e-6)


def test_the_pixels_that_most_masks_have_are_a_guess():
  lasting = masks.filled_box((0, 0, 9, 9)) | masks.filled_box((90, 90, 99, 99))
  packed = np.array([blind_masks.pack(mask) for mask in (lasting, lasting)])
  assert blind_masks.best_jaccard(packed) == 1  # no box does that


def test_an_empty_truth_wants_an_empty_guess():
  empty = np.zeros((masks.SIZE, masks.SIZE), bool)
  packed = np.array([blind_masks.pack(empty)] * 3)
  assert blind_masks.best_jaccard(packed) == 1
  half = blind_masks.pack(masks.filled_box((0, 0, 111, 223)))
  packed = np.array([blind_masks.pack(empty), half])
  # Nothing: 1 and 0. The half: 1/2 and 1.
  assert blind_masks.best_jaccard(packed) == pytest.approx(0.75, abs=1e-9)
