"""The report of an annotation."""

import json

import pytest

from crab_jax.annotation import items
from crab_jax.annotation import provenance
from crab_jax.annotation import report
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.annotation.checking import findings
from crab_jax.annotation.teaching import spending
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals


def test_wilson():
  # 8 of 10 by the published formula; no count tells nothing.
  assert report.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
  assert report.wilson(0, 0) == (0.0, 1.0)
  low, high = report.wilson(10, 10)
  assert (low, high) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_texts():
  found = report.of_texts(["a b c d", "a b c", ""])
  assert found["words"] == {
    "least": 3, "quarter": 3.25, "median": 3.5, "three_quarters": 3.75,
    "most": 4,
  }  # fmt: skip
  assert report.of_texts(["a b"])["words"]["three_quarters"] == 2
  assert found["distinct_2"] == 3 / 5
  assert found["openings"] == [("a b c", 2)]
  assert report.of_texts([""]) == {}


def test_events():
  def item(*events):
    truth = truths.Truth(answers.Answer("events", events=events))
    return items.Item("a", rows.Row("here"), "unav", truth, {})

  dog, cat = intervals.Event("dog", 0.0, 4.0), intervals.Event("cat", 3.0, 5.0)
  found = report.of_events([item(dog, cat), item(dog), item()])
  assert (found["a_clip"]["least"], found["a_clip"]["most"]) == (0, 2)
  assert found["seconds"]["least"] == 2
  assert found["overlap"] == 1 / 3
  assert report.of_events([item()]) == {}


def test_what_was_found_and_decided_is_counted(tmp_path):
  def item(name, label):
    truth = truths.Truth(answers.Answer("label", label=label))
    row = rows.Row("here", licence="<CC>")
    return items.Item(name, row, "ks", truth, {}, split="train")

  doubt = findings.Finding("contradicted", findings.FLAG, "doubt 3 of 3")
  drafts = {
    "a": provenance.Draft(
      "one two three", "teacher", {"attempt": 2, "tokens": [9, 4]},
      review="accepted",
    ),
    "c": provenance.Draft("one", "template", review="edited"),
    "b": provenance.Draft(
      "one two", "teacher", found=(doubt,), failed=("told", "told"),
      dropped="rejected: x", review="rejected",
    ),
  }  # fmt: skip
  summary = {
    "tasks": {"ks": {"train": 1}},
    "unbuilt": [{"task": "ks", "status": "rejected", "rows": 1}],
  }
  every = [item("a", "dog"), item("b", "cat"), item("c", "dog")]
  found = report.make(every, drafts, summary, judged=True,
                      tariff=spending.Tariff(1e5, 1e6))  # fmt: skip
  task = found["tasks"]["ks"]
  assert task["writers"] == {"teacher": 2, "template": 1}
  assert task["found"] == {"teacher": {"contradicted": 1}}
  assert task["attempts"] == {"2": 1}
  assert task["tokens"] == [9, 4]
  assert task["cost"] == pytest.approx(0.9 + 4.0)
  assert (task["supported"]["good"], task["supported"]["of"]) == (2, 2)
  assert task["asked_again"] == {"told": 2}
  assert task["doubted"] == {"cat": 1}
  assert {
    who: (share["good"], share["of"]) for who, share in task["reviewed"].items()
  } == {"teacher": (1, 2), "template": (1, 1)}
  report.write(found, tmp_path)
  assert json.loads((tmp_path / "report.json").read_text())["tasks"]["ks"]
  page = (tmp_path / "report.html").read_text()
  assert "1 of 2, 95 % interval 0.09 to 0.91 accepted" in page
  assert "cat 1 of 1" in page
  assert "9 in, 4 out, cost 4.9000" in page
  assert "&lt;CC&gt;" in page
