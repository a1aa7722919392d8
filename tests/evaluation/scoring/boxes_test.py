"""Boxes, worked by hand."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.scoring import boxes

CORNERS = st.lists(st.integers(0, 223), min_size=2, max_size=2).map(sorted)
BOX = st.tuples(CORNERS, CORNERS).map(
  lambda c: (c[0][0], c[1][0], c[0][1], c[1][1])
)


def test_iou_golden():
  # 10 x 10 pixels each, 5 x 10 shared.
  first, second = (0, 0, 9, 9), (5, 0, 14, 9)
  assert boxes.iou(first, second) == pytest.approx(50 / 150, abs=1e-9)
  assert boxes.iou(first, (10, 0, 14, 9)) == 0
  assert boxes.iou((3, 3, 3, 3), (3, 3, 4, 3)) == 0.5


def test_success_and_auc_golden():
  ious = np.array([1.0, 0.5])
  assert boxes.success(ious) == 1
  assert boxes.success(ious - 0.01) == 0.5
  # 1 up to 0.5, a slope to 0.55, 1/2 up to 1.
  area = 0.5 + 0.05 * 0.75 + 0.45 * 0.5
  assert boxes.auc(ious) == pytest.approx(area, abs=1e-9)
  assert boxes.auc(np.ones(3)) == pytest.approx(1, abs=1e-9)
  assert boxes.auc(np.zeros(3)) == pytest.approx(0.025, abs=1e-9)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(BOX, BOX)
def test_iou_is_a_symmetric_share(first, second):
  iou = boxes.iou(first, second)
  assert 0 <= iou <= 1
  assert iou == boxes.iou(second, first)
  assert boxes.iou(first, first) == 1


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(BOX, st.lists(BOX, min_size=1, max_size=5))
def test_ious_of_a_constant_are_those_of_each(box, others):
  np.testing.assert_allclose(
    boxes.ious_of_constant(box, others),
    [boxes.iou(box, other) for other in others],
    atol=1e-12,
  )


def test_candidates_hold_mean_median_frame_and_the_boxes():
  found = boxes.candidates([(0, 0, 9, 9), (0, 0, 9, 9), (6, 6, 60, 60)])
  assert (2, 2, 26, 26) in found
  assert (0, 0, 9, 9) in found
  assert (0, 0, 223, 223) in found
  assert len(boxes.candidates([(0, 0, i, i) for i in range(1, 200)] * 20)) < 900


IOUS = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(IOUS, st.randoms(), st.data())
def test_success_and_auc_in_any_order_and_never_lower(ious, random, data):
  better = list(ious)
  place = data.draw(st.integers(0, len(ious) - 1))
  better[place] = data.draw(st.floats(ious[place], 1))
  shuffled = random.sample(ious, len(ious))
  for metric, worst in ((boxes.success, 0), (boxes.auc, 0.025)):
    value = metric(np.array(ious))
    assert metric(np.array(shuffled)) == pytest.approx(value, abs=1e-12)
    assert value <= metric(np.array(better)) + 1e-12
    assert metric(np.zeros(len(ious))) == pytest.approx(worst, abs=1e-12)
    assert metric(np.ones(len(ious))) == pytest.approx(1, abs=1e-12)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(BOX, st.data())
def test_a_box_that_grows_within_the_truth_never_loses(truth, data):
  x1, y1, x2, y2 = truth
  xs = sorted(data.draw(st.integers(x1, x2)) for _ in range(2))
  ys = sorted(data.draw(st.integers(y1, y2)) for _ in range(2))
  inner = (xs[0], ys[0], xs[1], ys[1])
  grown = (x1, ys[0], x2, ys[1])
  assert boxes.iou(truth, inner) <= boxes.iou(truth, grown) <= 1
