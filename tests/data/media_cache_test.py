"""Decoded media: made once, until the cache is full."""

import numpy as np
import pytest

from crab_jax.data import media_cache

_SIZE = 2 * 2 * 2 * 3 + 4 * 5 * 3 + 4  # bytes of the media below


def _media(number):
  return media_cache.Media(
    np.full((1, 2, 2, 2, 3), number, np.uint8),
    np.zeros((1, 5, 3), np.float32),
    np.array([5], np.int32),
  )


def test_what_is_kept_is_made_once():
  cache, made = media_cache.Cache(2 * _SIZE), []

  def get(number):
    def make():
      made.append(number)
      return _media(number)

    return cache.get(f"ks/train/{number}", make)

  numbers = (1, 2, 3, 1, 2, 3)  # there is room for two
  found = [int(get(number).frames[0, 0, 0, 0, 0]) for number in numbers]
  assert found == list(numbers)
  assert made == [1, 2, 3, 3]


def test_nobody_changes_what_is_kept():
  cache = media_cache.Cache(_SIZE)
  media = cache.get("ks/train/1", lambda: _media(1))
  with pytest.raises(ValueError, match="read-only"):
    media.frames[:] = 0


def test_what_fails_is_not_kept():
  cache = media_cache.Cache(_SIZE)

  def fail():
    raise ValueError("noise")

  with pytest.raises(ValueError, match="noise"):
    cache.get("ks/train/1", fail)
  assert cache.get("ks/train/1", lambda: _media(1)).mel_lengths == 5
