"""Label metrics, worked by hand."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.scoring import classification

TRUTH = ["a", "a", "a", "b"]
SAID = ["a", "a", "b", "b"]
LABELS = st.lists(st.tuples(*[st.sampled_from("abc")] * 2), min_size=1)
METRICS = (
  classification.accuracy,
  classification.weighted_f1,
  classification.uar,
)


def test_golden():
  # a: P 1, R 2/3, F 4/5; b: P 1/2, R 1, F 2/3; weights 3/4 and 1/4.
  close = pytest.approx
  assert classification.accuracy(TRUTH, SAID) == close(0.75, abs=1e-9)
  f1 = classification.weighted_f1(TRUTH, SAID)
  assert f1 == close(3 / 4 * 4 / 5 + 1 / 4 * 2 / 3, abs=1e-9)
  assert classification.uar(TRUTH, SAID) == close(5 / 6, abs=1e-9)


def test_a_label_outside_the_classes_is_a_miss_only():
  said = ["a", "a", "zebra", ""]
  # a: P 1, R 2/3, F 4/5; b: 0. The foreign labels are no classes.
  f1 = classification.weighted_f1(TRUTH, said)
  assert f1 == pytest.approx(3 / 4 * 4 / 5, abs=1e-9)
  assert classification.uar(TRUTH, said) == pytest.approx(1 / 3, abs=1e-9)


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(LABELS)
def test_the_commonest_label_is_the_best_constant(pairs):
  truth = [pair[0] for pair in pairs]
  best = classification.constant(truth)
  for metric in METRICS:
    for other in set(truth):
      score = metric(truth, [other] * len(truth))
      assert score <= metric(truth, best) + 1e-12


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(LABELS, st.randoms())
def test_order_does_not_matter_and_perfect_is_one(pairs, random):
  shuffled = random.sample(pairs, len(pairs))
  for metric in METRICS:
    assert metric(*zip(*pairs, strict=True)) == pytest.approx(
      metric(*zip(*shuffled, strict=True)), abs=1e-12
    )
    truth = [pair[0] for pair in pairs]
    assert metric(truth, truth) == 1
    assert metric(truth, [""] * len(truth)) == 0


def test_leave_one_out_does_not_see_the_sample_itself():
  truth, groups = ["x", "y", "y", "z"], ["g", "g", "g", "h"]
  # x sees y y; each y sees x y (x first by letter); z sees nobody.
  guesses = classification.leave_one_out(truth, groups)
  assert guesses == ["y", "x", "x", ""]


def test_by_group():
  groups = classification.by_group([True, False, True], ["q", "q", "p"])
  assert groups == {
    "p": {"accuracy": 1.0, "n": 1},
    "q": {"accuracy": 0.5, "n": 2},
  }


def test_confusion():
  table = classification.confusion(TRUTH, ["a", "b", "?", "b"])
  assert table.labels == ["a", "b"]
  np.testing.assert_array_equal(table.counts, [[1, 1, 1], [0, 1, 0]])


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(LABELS, st.data())
def test_a_corrected_label_never_lowers_a_metric(pairs, data):
  truth, said = (list(column) for column in zip(*pairs, strict=True))
  place = data.draw(st.integers(0, len(pairs) - 1))
  better = [*said[:place], truth[place], *said[place + 1 :]]
  for metric in METRICS:
    assert 0 <= metric(truth, said) <= metric(truth, better) + 1e-12 <= 1 + 1e-9


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
  st.lists(st.tuples(st.booleans(), st.sampled_from("pq")), min_size=1),
  st.randoms(),
)
def test_groups_make_up_the_whole_in_any_order(pairs, random):
  groups = classification.by_group(*zip(*pairs, strict=True))
  shuffled = random.sample(pairs, len(pairs))
  assert classification.by_group(*zip(*shuffled, strict=True)) == groups
  right = sum(g["accuracy"] * g["n"] for g in groups.values())
  assert right == pytest.approx(sum(pair[0] for pair in pairs), abs=1e-9)
  assert sum(g["n"] for g in groups.values()) == len(pairs)
