"""Decoded media, kept for those who read the same records over and over.

A study trains hundreds of small adapters on the same clips: decoding them again
for each takes half as long as the steps. For one pass over much data this is
not.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from crab_jax.array_types import Float
from crab_jax.array_types import Int
from crab_jax.array_types import UInt8


class Media(NamedTuple):
  """What the towers see of a record; see `samples`."""

  frames: UInt8[np.ndarray, "pairs 2 H W 3"]
  mel: Float[np.ndarray, "chunks frames M"]
  mel_lengths: Int[np.ndarray, "chunks"]


class Cache:
  """Media by the id of their record, for one model; threads may share it.

  Args:
    limit: bytes; what comes when it is full is made each time.
  """

  def __init__(self, limit: int):
    self._limit, self._used = limit, 0
    self._kept: dict[str, Media] = {}

  def get(self, name: str, make: Callable[[], Media]) -> Media:
    """What is kept under a name, else what `make` gives; not to be changed."""
    if name in self._kept:
      return self._kept[name]
    made = make()
    size = made.frames.nbytes + made.mel.nbytes + made.mel_lengths.nbytes
    if self._used + size <= self._limit:
      self._used += size
      for array in made[:3]:
        # Others read the same array.
        array.setflags(write=False)
      self._kept[name] = made
    return made
