"""Stream positions: whoever shares the order, every index is taken once."""

import numpy as np
import pytest

from crab_jax.data import stream_positions


class _Stream:
  """Reads a position's indices and lets some of them wait."""

  def __init__(self, position, rng):
    self.begin, self.rng = position, rng
    self.count, self.taken, self.waiting = 0, [], list(position.waiting)

  def read(self):
    self.waiting.append(self.begin.index(self.count))
    self.count += 1
    if len(self.waiting) > 3:
      chosen = self.rng.integers(len(self.waiting))
      self.taken.append(self.waiting.pop(chosen))

  @property
  def position(self):
    return self.begin.after(self.count, self.waiting)


def _shares(position, hosts, workers):
  own = [position.part(host, hosts) for host in range(hosts)]
  return [part.part(i, workers) for part in own for i in range(workers)]


def test_a_whole_place_reads_everything_in_order():
  assert [stream_positions.Position().index(count) for count in range(4)] == [
    0,
    1,
    2,
    3,
  ]
  assert (
    stream_positions.merged(_shares(stream_positions.Position(), 3, 2))
    == stream_positions.Position()
  )


def test_parts_share_out_an_order():
  found = [
    [part.index(count) for count in range(3)]
    for part in _shares(stream_positions.Position(), 2, 2)
  ]
  assert found == [[0, 4, 8], [2, 6, 10], [1, 5, 9], [3, 7, 11]]


@pytest.mark.parametrize("seed", range(20))
def test_moves_lose_and_repeat_nothing(seed):
  rng = np.random.default_rng(seed)
  whole, taken = stream_positions.Position(), []
  for _ in range(6):
    ends = []
    for position in _shares(whole, *map(int, rng.integers(1, 5, 2))):
      for _ in range(rng.integers(1, 3)):  # twice: stopped and begun again
        stream = _Stream(position, rng)
        for _ in range(rng.integers(0, 30)):
          stream.read()
        taken += stream.taken
        position = stream.position
      ends.append(position)
    whole = stream_positions.merged(ends)
  assert len(taken) == len(set(taken))
  assert sorted([*taken, *whole.left]) == list(range(whole.start))


def test_what_was_left_is_read_first():
  ahead = stream_positions.Position(first=0, step=2).after(5, [])
  behind = stream_positions.Position(first=1, step=2).after(2, [1])
  whole = stream_positions.merged([ahead, behind])
  assert whole == stream_positions.Position(start=9, left=(1, 5, 7))
  assert [whole.index(count) for count in range(5)] == [1, 5, 7, 9, 10]
