"""Mask metrics, worked by hand and against a plain sweep."""

import io

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from crab_jax import errors
from crab_jax.evaluation.scoring import masks

SIZE = masks.SIZE


def _mask(*boxes):
  return np.any([masks.filled_box(box) for box in boxes], axis=0)


TRUTH = _mask((0, 0, 1, 1))  # 4 pixels
SAID = _mask((0, 0, 3, 1))  # 8 pixels, 4 of them right


def test_jaccard_golden():
  assert masks.jaccard(TRUTH, SAID) == pytest.approx(0.5, abs=1e-9)
  empty = np.zeros_like(TRUTH)
  assert masks.jaccard(TRUTH, empty) == 0
  assert masks.jaccard(empty, empty) == 1
  # On an empty truth: the share of background that was left alone.
  kept = 1 - 8 / SIZE**2
  assert masks.jaccard(empty, SAID) == pytest.approx(kept, abs=1e-9)


def test_f_golden():
  # P 1/2, R 1: 1.3 * 0.5 / (0.15 + 1).
  curve = masks.f_curve(TRUTH, SAID)
  assert curve.shape == (255,)
  assert curve[1:] == pytest.approx(0.65 / 1.15, abs=1e-9)
  share = 4 / SIZE**2  # the first threshold takes every pixel
  assert curve[0] == pytest.approx(1.3 * share / (0.3 * share + 1), abs=1e-9)
  assert masks.single_f(TRUTH, SAID) == pytest.approx(0.65 / 1.15, abs=1e-9)


def test_f_score_is_the_maximum_of_the_mean_curve():
  curves = np.zeros((2, 255))
  curves[0, 3], curves[1, 4] = 1, 1
  assert masks.f_score(curves) == 0.5
  assert masks.f_score(curves[:0]) == 0


def test_f_curve_of_probabilities_is_a_plain_sweep():
  rng = np.random.default_rng(0)
  truth, said = rng.random((9, 9)) > 0.6, rng.random((9, 9))
  expected = []
  for threshold in np.linspace(0, 1 - 1e-10, 255):
    above = said >= threshold
    hits = np.sum(above & truth)
    precision, recall = hits / max(above.sum(), 1), hits / truth.sum()
    total = 0.3 * precision + recall
    expected.append(1.3 * precision * recall / total if total else 0)
  np.testing.assert_allclose(masks.f_curve(truth, said), expected, atol=1e-12)
  binary = masks.f_curve(truth, truth.astype(float))
  np.testing.assert_allclose(masks.f_curve(truth, truth), binary, atol=1e-12)


def test_conventions_of_crab_plus():
  empty = np.zeros_like(TRUTH)
  assert masks.plain_jaccard(empty, empty) == 1
  assert masks.plain_jaccard(empty, SAID) == 0
  assert masks.single_f(empty, empty) == 1
  assert masks.single_f(TRUTH, empty) == 0  # P 1, R 0


def test_null_s_golden():
  assert masks.null_s([0, SIZE**2]) == pytest.approx(np.sqrt(0.5), abs=1e-9)
  quarter = SIZE**2 // 4
  expected = np.sqrt(1 / 3)
  assert masks.null_s_background(quarter) == pytest.approx(expected, abs=1e-9)
  assert masks.null_s_background(SIZE**2) == np.inf


def test_extent_and_filled_box_undo_each_other():
  assert masks.extent(masks.filled_box((3, 5, 7, 200))) == (3, 5, 7, 200)
  assert masks.extent(np.zeros((SIZE, SIZE), bool)) is None
  assert not masks.filled_box(None).any()


@pytest.mark.parametrize("first", [False, True])
def test_run_length_code(first):
  rng = np.random.default_rng(1)
  mask = rng.random((SIZE, SIZE)) > 0.5
  mask[0, 0] = first
  code = masks.to_rle(mask)
  np.testing.assert_array_equal(masks.from_rle(code), mask)
  small = np.array([[0, 1], [1, 1]], bool)  # down the columns: 0 1 1 1
  assert masks.to_rle(small) == {"size": [2, 2], "counts": [1, 3]}


@pytest.mark.parametrize(
  "code",
  [
    {"size": [224, 224], "counts": "Ql_1"},  # compressed
    {"size": [224, 224], "counts": [3, 4]},
    {"size": [112, 448], "counts": [SIZE**2]},
    {"size": [224, 224], "counts": [-1, SIZE**2 + 1]},
    {"counts": [SIZE**2]},
    [1],
  ],
)
def test_what_is_no_code_is_told(code):
  with pytest.raises(errors.UserError, match="no uncompressed run-length"):
    masks.from_rle(code)


def test_png_of_another_size_is_resized_to_nearest():
  buffer = io.BytesIO()
  Image.fromarray(np.array([[0, 255], [0, 1]], np.uint8)).save(buffer, "PNG")
  mask = masks.from_png(buffer.getvalue())
  assert mask.shape == (SIZE, SIZE)
  assert mask[:, SIZE // 2 :].all() and not mask[:, : SIZE // 2].any()


_EDGES = st.tuples(st.integers(0, 200), st.integers(1, SIZE - 1))
_BOXES = st.tuples(_EDGES, _EDGES).map(
  lambda e: (min(e[0]), min(e[1]), max(e[0]), max(e[1]))
)
_examples = hypothesis.settings(deadline=None, max_examples=25)


@_examples
@hypothesis.given(truth=_BOXES, said=_BOXES)
def test_j_and_f_lie_between_the_empty_and_the_perfect_mask(truth, said):
  truth, said, empty = _mask(truth), _mask(said), _mask(None)
  assert masks.jaccard(truth, said) == masks.jaccard(said, truth)
  for metric in (masks.jaccard, masks.single_f, masks.plain_jaccard):
    assert metric(truth, truth) == 1
    assert metric(truth, empty) == 0
    assert 0 <= metric(truth, said) <= 1
  assert masks.f_score(masks.f_curve(truth, truth)[None]) == 1


@_examples
@hypothesis.given(truth=_BOXES, said=_BOXES, more=_BOXES)
def test_pixels_that_are_right_never_lower_j_or_f(truth, said, more):
  truth, said = _mask(truth), _mask(said)
  better = said | (truth & _mask(more))
  for metric in (masks.jaccard, masks.plain_jaccard, masks.single_f):
    assert metric(truth, better) >= metric(truth, said) - 1e-12
  assert (
    masks.f_curve(truth, better) >= masks.f_curve(truth, said) - 1e-12
  ).all()


@_examples
@hypothesis.given(
  boxes=st.lists(st.tuples(_BOXES, _BOXES), min_size=2, max_size=5),
  data=st.data(),
)
def test_the_order_of_frames_does_not_matter(boxes, data):
  curves = [masks.f_curve(_mask(a), _mask(b)) for a, b in boxes]
  shuffled = data.draw(st.permutations(curves))
  assert masks.f_score(np.array(shuffled)) == pytest.approx(
    masks.f_score(np.array(curves)), abs=1e-12
  )
  pixels = [int(_mask(b).sum()) for _, b in boxes]
  assert masks.null_s(data.draw(st.permutations(pixels))) == pytest.approx(
    masks.null_s(pixels), abs=1e-12
  )


@_examples
@hypothesis.given(said=st.lists(st.integers(0, SIZE**2 - 1), min_size=1))
def test_s_of_null_frames_grows_with_what_is_drawn(said):
  assert masks.null_s([0] * len(said)) == 0
  more = [said[0] + 1, *said[1:]]
  assert masks.null_s(more) > masks.null_s(said)
  assert masks.null_s([SIZE**2] * len(said)) == pytest.approx(1)
  assert masks.null_s_background(0) == 0
  assert masks.null_s_background(more[0]) > masks.null_s_background(said[0])
