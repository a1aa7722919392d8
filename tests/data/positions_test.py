"""Position ids: the vectors of Qwen2.5-Omni's rules, and their invariants."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.data import positions

Run = positions.Run


def _delta(got: np.ndarray) -> int:
  """New token k (from 0) of a prompt of T tokens is at T + delta + k."""
  return int(got.max()) + 1 - len(got)


def _span(first: int, last: int) -> list[int]:
  return list(range(first, last + 1))


# Vectors A to D: runs, the three axes, delta. Boundary tokens are text.
_VECTORS = {
  "A: video, then audio": (
    [Run(4), Run(8, (2, 2, 2)), Run(2), Run(3), Run(3)],
    [0, 1, 2, 3, 4, 4, 4, 4, 54, 54, 54, 54, *_span(55, 62)],
    [0, 1, 2, 3, 4, 4, 5, 5, 4, 4, 5, 5, *_span(55, 62)],
    [0, 1, 2, 3, 4, 5, 4, 5, 4, 5, 4, 5, *_span(55, 62)],
    43,
  ),
  "B: image, then audio": (
    [Run(3), Run(4, (1, 2, 2)), Run(2), Run(3), Run(3)],
    [0, 1, 2, 3, 3, 3, 3, *_span(5, 12)],
    [0, 1, 2, 3, 3, 4, 4, *_span(5, 12)],
    [0, 1, 2, 3, 4, 3, 4, *_span(5, 12)],
    -2,
  ),
  "C: audio, then video": (
    [Run(3), Run(3), Run(2), Run(8, (2, 2, 2)), Run(3)],
    [*_span(0, 7), 8, 8, 8, 8, 58, 58, 58, 58, 59, 60, 61],
    [*_span(0, 7), 8, 8, 9, 9, 8, 8, 9, 9, 59, 60, 61],
    [*_span(0, 7), 8, 9, 8, 9, 8, 9, 8, 9, 59, 60, 61],
    43,
  ),
  "D: audio, then a video of one pair": (
    [Run(3), Run(3), Run(2), Run(4, (1, 2, 2)), Run(3)],
    [*_span(0, 7), 8, 8, 8, 8, 10, 11, 12],
    [*_span(0, 7), 8, 8, 9, 9, 10, 11, 12],
    [*_span(0, 7), 8, 9, 8, 9, 10, 11, 12],
    -2,
  ),
}


@pytest.mark.parametrize("name", _VECTORS)
def test_vectors(name):
  runs, time, row, column, delta = _VECTORS[name]
  got = positions.position_ids(runs)
  assert got.dtype == np.int32
  np.testing.assert_array_equal(got, np.array([time, row, column]).T)
  assert _delta(got) == delta


def test_vector_e_ten_frames_and_ten_seconds():
  runs = [Run(17), Run(320, (5, 8, 8)), Run(2), Run(250), Run(16)]
  got = positions.position_ids(runs)
  assert got.shape == (605, 3)
  expected = {
    17: (17, 17, 17),
    80: (17, 24, 24),
    81: (67, 17, 17),
    336: (217, 24, 24),
    337: (218,) * 3,
    339: (220,) * 3,
    588: (469,) * 3,
    589: (470,) * 3,
    604: (485,) * 3,
  }
  for index, position in expected.items():
    assert tuple(got[index]) == position, index
  assert _delta(got) == -119


def test_true_seconds_move_the_pairs():
  got = positions.position_ids([Run(12, (3, 2, 2))], 0.5)
  # floor(k * 12.5)
  np.testing.assert_array_equal(got[::4, 0], [0, 12, 25])
  got = positions.position_ids([Run(12, (3, 2, 2))], 2.0, 5)
  np.testing.assert_array_equal(got[::4, 0], [0, 10, 20])
  assert positions.clip_seconds_per_unit([0.0, 1.0, 2.0, 3.0], 2) == 2.0
  assert positions.clip_seconds_per_unit([0.0, 6.5, 13.0, 0.0, 6.5], 2) == 13.0
  assert positions.clip_seconds_per_unit([0.0], 2) is None


def test_a_run_and_its_grid_must_agree():
  with pytest.raises(ValueError, match="7 tokens"):
    positions.position_ids([Run(7, (2, 2, 2))])


def test_nothing_gives_nothing():
  assert positions.position_ids([]).shape == (0, 3)


_grids = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
_runs = st.one_of(
  st.builds(Run, st.integers(0, 9)),
  _grids.map(lambda grid: Run(grid[0] * grid[1] * grid[2], grid)),
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
  st.lists(_runs, min_size=1, max_size=6),
  st.sampled_from([0.04, 0.3, 1.0, 2.0, 6.6]),
)
def test_cursor_rules(runs, seconds):
  """Each run starts right behind everything that came before it."""
  got = positions.position_ids(runs, seconds)
  assert got.shape == (sum(run.tokens for run in runs), 3)
  at, cursor = 0, 0
  for run in runs:
    piece = got[at : at + run.tokens]
    at += run.tokens
    if not run.tokens:
      continue
    assert tuple(piece[0]) == (cursor,) * 3
    if run.grid is None:
      np.testing.assert_array_equal(piece[:, 0], piece[:, 2])
      cursor += run.tokens
      continue
    pairs, rows, columns = run.grid
    last = int(np.floor(np.float32((pairs - 1) * np.float32(seconds)) * 25))
    assert tuple(piece[-1]) == (
      cursor + last,
      cursor + rows - 1,
      cursor + columns - 1,
    )
    cursor += max(last, rows - 1, columns - 1) + 1
