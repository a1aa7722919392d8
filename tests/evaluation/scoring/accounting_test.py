"""What is counted beside a score."""

import pytest

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import accounting

_TABLE = tasks.Tasks()

REFERENCE = {"text": "<answer>dog</answer>"}


def _row(i, text, **fields):
  row = {"id": f"ks/test/{i}", "text": text, "reference": REFERENCE}
  return {**row, **fields}


def test_counts():
  rows = [
    _row(0, "<answer>dog</answer>"),
    _row(0, "<answer>cat</answer>"),
    _row(1, "I cannot say what this may be"),
    _row(2, None, error="bad_video"),
    _row(3, None),
    _row(4, "dog"),
  ]
  kept, duplicates = accounting.samples(_TABLE["ks"], rows)
  assert [s.answer.label for s in kept] == ["dog", None, None, None, "dog"]
  assert accounting.counts(kept, duplicates) == {
    "n": 5,
    "parse_failures": 1,
    "failed": 2,
    "duplicates": 1,
    "split": "test",
    "failure_reasons": {"no_answer": 1, "error": 1, "missing": 1},
    "leniency": {"untagged": 1},
  }


def test_an_error_hides_the_text():
  (sample,), _ = accounting.samples(_TABLE["ks"], [_row(0, "dog", error="oom")])
  assert sample.failed and sample.answer.label is None


@pytest.mark.parametrize("field", ["id", "reference"])
def test_a_row_without_identity_is_an_error(field):
  with pytest.raises(errors.UserError, match=field):
    accounting.samples(_TABLE["ks"], [{**_row(0, "dog"), field: None}])


def test_missing_rows_are_added():
  expected = {"ks/test/0": REFERENCE, "ks/test/7": REFERENCE}
  rows = accounting.with_missing([_row(0, "dog")], expected)
  assert [row["id"] for row in rows] == ["ks/test/0", "ks/test/7"]
  assert rows[1]["error"] == "missing"


def test_split_of_a_row():
  assert accounting.split_of({"id": "a/val/3"}) == "val"
  assert accounting.split_of({"id": "a/val/3", "split": "test"}) == "test"
  assert accounting.split_of({"id": "clip7"}) == "unknown"
