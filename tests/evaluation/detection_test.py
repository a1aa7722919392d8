"""UnAV-100: mAP and queries, worked by hand."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation import detection


def test_tiou():
  assert detection.tiou((0, 10), (0, 8)) == pytest.approx(0.8, abs=1e-9)
  assert detection.tiou((0, 2), (3, 4)) == 0


def test_map_golden():
  truths = [{"dog": [(0, 10)]}, {"dog": [(0, 5)], "cat": [(1, 2)]}]
  said = [{"dog": [(0, 8)], "cow": [(0, 1)]}, {"dog": [(0, 5)]}]
  # Dog: two of two up to tIoU 0.8; at 0.9 one of two, P R = 1/4. Cat: 0.
  # The cow is in no reference, so it is no class.
  values = detection.mean_average_precision(truths, said)
  np.testing.assert_allclose(values, [0.5] * 8 + [0.125], atol=1e-9)


def test_order_counts_only_without_ties():
  hit = np.array([True, False])
  assert detection.average_precision(hit, 2, tied=True) == 0.25
  assert detection.average_precision(hit, 2, tied=False) == 0.5
  assert detection.average_precision(hit[::-1], 2, tied=True) == 0.25
  assert detection.average_precision(hit[::-1], 2, tied=False) == 0.25
  assert detection.average_precision(np.zeros(0, bool), 2, True) == 0


def test_precision_is_interpolated():
  # Precisions 0, 1/2, 2/3, each raised to the best one after it: 2/3.
  hit = np.array([False, True, True])
  area = detection.average_precision(hit, 3, tied=False)
  assert area == pytest.approx(4 / 9, abs=1e-9)


def test_each_true_segment_is_found_once():
  hits = detection.hits([(0, 4)], [(0, 4), (0, 4)], (0.5,))
  np.testing.assert_array_equal(hits, [[True, False]])
  # The first prediction takes the segment that it overlaps most.
  hits = detection.hits([(0, 4), (2, 6)], [(2, 6), (1, 5)], (0.5, 0.7))
  np.testing.assert_array_equal(hits, [[True, True], [True, False]])


def test_queries_golden():
  truths = [{"dog": [(0, 2), (4, 6)]}, {"cat": [(0, 4)]}]
  said = [{"dog": [(0, 2)]}, {"cat": [(0, 3)]}]
  # Union IoU of the true segments: 1, 0, 3/4; of the predicted: 1, 3/4.
  scores = detection.query_scores(truths, said)
  assert scores["mIoU"] == pytest.approx(7 / 12, abs=1e-9)
  assert scores["F1@0.5"] == pytest.approx(4 / 5, abs=1e-9)  # R 2/3, P 1
  assert scores["F1@0.7"] == pytest.approx(4 / 5, abs=1e-9)
  # Counts (2, 1) and (1, 1): coverage is the floor 1/2, so USA 0; OSA 1.
  assert (scores["USA"], scores["OSA"], scores["CountF1"]) == (0, 1, 0)


def test_count_f1():
  # (3, 2): 2/3 above the floor 1/3: (2/3 - 1/3) / (2/3) = 1/2. OSA 1/2.
  scores = detection.count_f1([(3, 2), (1, 1), (1, 0)])
  assert scores["USA"] == pytest.approx(0.5, abs=1e-9)
  assert scores["OSA"] == pytest.approx(0.5, abs=1e-9)
  assert scores["CountF1"] == pytest.approx(0.5, abs=1e-9)
  assert detection.count_f1([(2, 2)])["CountF1"] is None


def test_union_iou_joins_what_overlaps():
  assert detection.union_iou((0, 4), [(0, 2), (1, 3), (8, 9)]) == 0.75
  assert detection.merged([(3, 4), (0, 2), (1, 3)]) == [(0, 4)]


SEGMENT = st.tuples(st.integers(0, 8), st.integers(1, 4)).map(
  lambda pair: (pair[0], pair[0] + pair[1])
)
CLIP = st.dictionaries(
  st.sampled_from("ab"), st.lists(SEGMENT, min_size=1, unique=True)
)
CLIPS = st.lists(st.tuples(CLIP, CLIP), min_size=1, max_size=6)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(CLIPS, st.randoms())
def test_order_of_the_rows_does_not_matter(pairs, random):
  shuffled = random.sample(pairs, len(pairs))
  values = [
    detection.mean_average_precision(*zip(*rows, strict=True))
    for rows in (pairs, shuffled)
  ]
  np.testing.assert_allclose(*values, atol=1e-12)
  assert (np.diff(values[0]) <= 1e-12).all()  # stricter is never better


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(CLIPS)
def test_perfect_is_one_and_empty_is_zero(pairs):
  truths = [pair[0] for pair in pairs]
  hypothesis.assume(any(truths))
  assert (detection.mean_average_precision(truths, truths) == 1).all()
  empty = [{}] * len(truths)
  assert not detection.mean_average_precision(truths, empty).any()
