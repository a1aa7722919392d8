"""UnAV-100: mAP and queries, by hand and against the released code."""

import json
import pathlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.scoring import detection

_GOLDEN = pathlib.Path(__file__).parent / "unav_golden.json"


def test_tiou():
  assert detection.tiou((0, 10), (0, 8)) == pytest.approx(0.8, abs=1e-9)
  assert detection.tiou((0, 2), (3, 4)) == 0


def test_map_golden():
  truths = [{"dog": [(0, 10)]}, {"dog": [(0, 5)], "cat": [(1, 2)]}]
  said = [{"dog": [(0, 7.9)], "cow": [(0, 1)]}, {"dog": [(0, 5)]}]
  # Dog: two of two up to tIoU 0.7. From 0.8 on the first is wrong: precision
  # 1/2 at recall 1/2; said last, it does no harm. Cat: 0. The cow is in no
  # reference, so it is no class.
  values = detection.mean_average_precision(truths, said)
  np.testing.assert_allclose(values, [0.5] * 7 + [0.125] * 2, atol=1e-9)
  values = detection.mean_average_precision(truths, said, tied=True)
  np.testing.assert_allclose(values, [0.5] * 7 + [0.25] * 2, atol=1e-9)


def _clips(pairs):
  """Truths and answers of texts."""
  read = [
    [detection.clip(tuple(intervals.read(text, set(), [])[0])) for text in pair]
    for pair in pairs
  ]
  return zip(*read, strict=True)


def test_map_is_that_of_the_released_code():
  cases = json.loads(_GOLDEN.read_text())["cases"]
  assert len(cases) > 40
  for case in cases:
    truths, said = _clips(case["clips"])
    for name in ("in_order", "tied"):
      values = detection.mean_average_precision(truths, said, name == "tied")
      np.testing.assert_allclose(values, case[name], atol=1e-9)


@pytest.mark.parametrize("tied", [False, True])
def test_an_overlap_of_seven_in_ten_is_below_the_threshold(tied):
  # The released thresholds are linspace(.1, .9, 9); their 0.7 is above 0.7.
  values = detection.mean_average_precision(
    [{"dog": [(0, 10)]}], [{"dog": [(0, 7)]}], tied
  )
  np.testing.assert_array_equal(values, [1] * 6 + [0] * 3)


def test_of_equal_overlaps_the_last_true_segment_is_taken():
  # (0, 3) overlaps both by 2 of 3; taking the second leaves (0, 1) the first.
  values = detection.mean_average_precision(
    [{"dog": [(0, 2), (1, 3)]}], [{"dog": [(0, 3), (0, 1)]}]
  )
  assert values[4] == 1


@pytest.mark.parametrize(
  ("other", "distinct"),
  [((0, 5), False), ((0.0005, 5.0005), False), ((0.01, 5), True)],
)
def test_a_true_segment_that_is_repeated_counts_once(other, distinct):
  values = detection.mean_average_precision(
    [{"dog": [(0, 5), other]}], [{"dog": [(0, 5)]}]
  )
  np.testing.assert_array_equal(values, [0.5 if distinct else 1] * 9)


def test_average_precision_of_nothing_said():
  assert detection.average_precision(np.zeros(0, bool), 2) == 0


def test_precision_is_interpolated():
  # Precisions 0, 1/2, 2/3, each raised to the best one after it: 2/3.
  hit = np.array([False, True, True])
  area = detection.average_precision(hit, 3)
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
  # TiTok's own code takes no segment for one: OSA 1.
  scores = detection.count_f1([(3, 2), (1, 1), (1, 0)], none_is_one=True)
  assert scores["OSA"] == 1
  assert scores["CountF1"] == pytest.approx(2 / 3, abs=1e-9)


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


# Times as models say them: also with an end before the start.
ANY_SEGMENT = st.tuples(st.integers(0, 5), st.integers(0, 5))
ANY_CLIP = st.dictionaries(st.sampled_from("abc"), st.lists(ANY_SEGMENT))
ANSWERS = st.lists(st.tuples(CLIP, ANY_CLIP), min_size=1, max_size=4)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(ANSWERS, st.booleans())
def test_map_is_a_share_whatever_is_said(pairs, tied):
  truths, said = zip(*pairs, strict=True)
  values = detection.mean_average_precision(truths, said, tied)
  assert ((values >= 0) & (values <= 1)).all()
  scores = detection.query_scores(truths, said)
  assert all(v is None or 0 <= v <= 1 for v in scores.values())


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(st.lists(SEGMENT), st.lists(ANY_SEGMENT), st.data())
def test_a_right_segment_more_at_the_end_never_lowers_recall(true, said, data):
  if true:
    said_more = [*said, data.draw(st.sampled_from(true))]
    before = detection.hits(true, said).sum(1)
    after = detection.hits(true, said_more).sum(1)
    assert (before <= after).all()
    assert (after <= len(true)).all()
  else:
    assert not detection.hits(true, said).any()


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(st.lists(ANY_SEGMENT))
def test_a_segment_without_length_overlaps_nothing(said):
  empty = [segment for segment in said if segment[0] >= segment[1]]
  assert not detection.hits([(0, 5)], empty).any()
  assert detection.union_iou((0, 5), empty) == 0
  assert all(detection.union_iou(segment, [(0, 5)]) == 0 for segment in empty)
  assert detection.merged(said) == detection.merged(
    [segment for segment in said if segment not in empty]
  )


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(CLIPS)
def test_perfect_is_one_and_empty_is_zero(pairs):
  truths = [pair[0] for pair in pairs]
  hypothesis.assume(any(truths))
  empty = [{}] * len(truths)
  for tied in (False, True):
    perfect = detection.mean_average_precision(truths, truths, tied)
    # A sum of n steps of 1/n: 24 of them give 1 - 1e-16.
    np.testing.assert_allclose(perfect, 1, rtol=1e-12)
    assert not detection.mean_average_precision(truths, empty, tied).any()


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(CLIPS, st.data())
def test_one_more_clip_read_rightly_never_lowers_the_map(pairs, data):
  truths = [truth for truth, _ in pairs]
  said = [answer if data.draw(st.booleans()) else {} for _, answer in pairs]
  silent = [i for i, answer in enumerate(said) if not answer]
  hypothesis.assume(silent)
  better = list(said)
  better[silent[0]] = truths[silent[0]]
  before, after = (
    detection.mean_average_precision(truths, answers)
    for answers in (said, better)
  )
  assert (before <= after + 1e-12).all()
  assert ((before >= 0) & (after <= 1)).all()


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(SEGMENT, SEGMENT)
def test_tiou_is_a_symmetric_share(first, second):
  value = detection.tiou(first, second)
  assert 0 <= value <= 1
  assert value == detection.tiou(second, first)
  assert detection.tiou(first, first) == 1
  assert detection.union_iou(first, [second]) == value


APART = st.lists(st.integers(0, 4), min_size=1, unique=True).map(
  lambda starts: [(2 * start, 2 * start + 1) for start in starts]
)
QUERIES = st.lists(
  st.tuples(
    st.dictionaries(st.sampled_from("ab"), APART, min_size=1),
    st.dictionaries(st.sampled_from("ab"), st.lists(SEGMENT, unique=True)),
  ),
  min_size=1,
  max_size=5,
)
_SHARES = ("mIoU", "F1@0.3", "F1@0.5", "F1@0.7")


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(QUERIES, st.randoms(), st.data())
def test_queries_in_any_order_perfect_empty_and_better(pairs, random, data):
  truths, said = (list(column) for column in zip(*pairs, strict=True))
  scores = detection.query_scores(truths, said)
  shuffled = random.sample(pairs, len(pairs))
  again = detection.query_scores(*zip(*shuffled, strict=True))
  assert again == {
    name: value if value is None else pytest.approx(value, abs=1e-12)
    for name, value in scores.items()
  }
  perfect = detection.query_scores(truths, truths)
  assert all(v is None or abs(v - 1) < 1e-12 for v in perfect.values())
  empty = detection.query_scores(truths, [{}] * len(truths))
  assert not any(empty.values())
  place = data.draw(st.integers(0, len(truths) - 1))
  name = data.draw(st.sampled_from(sorted(truths[place])))
  segment = data.draw(st.sampled_from(truths[place][name]))
  better = [dict(clip) for clip in said]
  better[place][name] = [*better[place].get(name, []), segment]
  after = detection.query_scores(truths, better)
  for share in _SHARES:
    assert 0 <= scores[share] <= after[share] + 1e-12 <= 1 + 1e-9


@hypothesis.given(
  st.lists(st.tuples(st.integers(1, 5), st.integers(0, 7)), min_size=1),
  st.data(),
)
def test_a_count_nearer_to_the_true_one_never_lowers(counts, data):
  place = data.draw(st.integers(0, len(counts) - 1))
  true, said = counts[place]
  nearer = [*counts]
  nearer[place] = (true, said + (said < true) - (said > true))
  before, after = detection.count_f1(counts), detection.count_f1(nearer)
  for name in ("USA", "OSA", "CountF1"):
    if before[name] is not None:
      assert 0 <= before[name] <= after[name] + 1e-12 <= 1 + 1e-9
