"""The report of an annotation."""

import json

import pytest

from crab_jax.annotation import items
from crab_jax.annotation import provenance
from crab_jax.annotation import report
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.annotation.checking import findings
from crab_jax.evaluation.reading import answers


def test_wilson():
  # 8 of 10 by the published formula; no count tells nothing.
  assert report.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
  assert report.wilson(0, 0) == (0.0, 1.0)
  low, high = report.wilson(10, 10)
  assert (low, high) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_texts():
  found = report.of_texts(["a b c d", "a b c", ""])
  assert found["words"] == {"least": 3, "median": 3.5, "most": 4}
  assert found["distinct_2"] == 3 / 5
  assert found["openings"] == [("a b c", 2)]
  assert report.of_texts([""]) == {}


def test_what_was_found_and_decided_is_counted(tmp_path):
  def item(name, label):
    truth = truths.Truth(answers.Answer("label", label=label))
    row = rows.Row("here", licence="<CC>")
    return items.Item(name, row, "ks", truth, {}, split="train")

  doubt = findings.Finding("contradicted", findings.FLAG, "doubt 3 of 3")
  drafts = {
    "a": provenance.Draft("one two three", "teacher", review="accepted"),
    "b": provenance.Draft(
      "one two", "teacher", found=(doubt,), failed=("told", "told"),
      dropped="rejected: x", review="rejected",
    ),
  }  # fmt: skip
  summary = {
    "tasks": {"ks": {"train": 1}},
    "unbuilt": [{"task": "ks", "status": "rejected", "rows": 1}],
  }
  found = report.make([item("a", "dog"), item("b", "cat")], drafts, summary)
  task = found["tasks"]["ks"]
  assert task["writers"] == {"teacher": 2}
  assert task["asked_again"] == {"told": 2}
  assert task["doubted"] == {"cat": 1}
  assert (task["accepted"], task["reviewed"]) == (1, 2)
  report.write(found, tmp_path)
  assert json.loads((tmp_path / "report.json").read_text())["tasks"]["ks"]
  page = (tmp_path / "report.html").read_text()
  assert "1 of 2 accepted" in page
  assert "cat 1 of 1" in page
  assert "&lt;CC&gt;" in page
