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
  rows += [
    {**_row(5, "<answer>cat</answer> <answer>dog</answer>"), "cut": "context"}
  ]
  found = accounting.accounts(_TABLE["ks"], rows)
  said = [sample.answer.label for sample in found.samples]
  assert said == ["dog", None, None, None, "dog", "dog"]
  assert (found.duplicates, found.left_out) == (1, [])
  assert accounting.counts(found.samples) == {
    "n": 6,
    "parse_failures": 1,
    "partly_read": 1,
    "failed": 2,
    "split": "test",
    "failure_reasons": {"no_answer": 1, "error": 1, "missing": 1},
    "leniency": {"untagged": 1},
    "unread": {"earlier_answer": 1},
    "cut_off": {"context": 1},
  }


def test_a_remark_without_tags_is_no_label():
  rows = [_row(0, "dog"), _row(1, "Answer: dog"), _row(2, "I hear nothing")]
  found = accounting.accounts(_TABLE["ks"], rows).samples
  assert [s.answer.label for s in found] == ["dog", "dog", None]
  assert found[2].answer.failure == "no_answer"


@pytest.mark.parametrize(
  ("text", "label", "failure"), [(2, "2", None), (["dog"], None, "no_text")]
)
def test_a_text_that_is_none(text, label, failure):
  row = {"id": "avqa/test/0", "text": text, "reference": {"text": "two"}}
  (sample,) = accounting.accounts(_TABLE["avqa"], [row]).samples
  assert (sample.answer.label, sample.answer.failure) == (label, failure)


def test_a_row_written_by_hand():
  row = {"id": 3, "text": "dog", "reference": "Dog", "question": "what?"}
  (sample,) = accounting.accounts(_TABLE["ks"], [row]).samples
  assert (sample.id, sample.reference.label) == ("3", "Dog")
  assert sample.row["reference"] == {"text": "Dog"}


def test_rows_whose_reference_cannot_be_read_are_left_out():
  rows = [
    {"id": f"avvp/test/{i}", "text": "x", "reference": {"text": text}}
    for i, text in enumerate(("Chainsaw", "<event>dog, (0 3)</event>"))
  ]
  found = accounting.accounts(_TABLE["avvp"], rows)
  assert [sample.id for sample in found.samples] == ["avvp/test/1"]
  assert found.left_out == rows[:1]
  (reason,) = found.reasons
  assert "avvp/test/0" in reason and "Chainsaw" in reason
  with pytest.raises(errors.UserError, match="none of 1 references .*Chainsaw"):
    accounting.accounts(_TABLE["avvp"], rows[:1])


def test_an_error_hides_the_text():
  rows = [_row(0, "dog", error="oom")]
  (sample,) = accounting.accounts(_TABLE["ks"], rows).samples
  assert sample.failed and sample.answer.label is None


@pytest.mark.parametrize("field", ["id", "reference"])
def test_a_row_without_identity_is_an_error(field):
  with pytest.raises(errors.UserError, match=field):
    accounting.accounts(_TABLE["ks"], [{**_row(0, "dog"), field: None}])


def test_missing_rows_are_added():
  expected = {"ks/test/0": REFERENCE, "ks/test/7": REFERENCE}
  rows = accounting.with_missing([_row(0, "dog")], expected)
  assert [row["id"] for row in rows] == ["ks/test/0", "ks/test/7"]
  assert rows[1]["error"] == "missing"


def test_split_of_a_row():
  assert accounting.split_of({"id": "a/val/3"}) == "val"
  assert accounting.split_of({"id": "a/val/3", "split": "test"}) == "test"
  assert accounting.split_of({"id": "clip7"}) == "unknown"
