"""Decisions about drafts: what stands, and what is built of it."""

import pytest

from crab_jax.annotation import provenance
from crab_jax.annotation.review import entries
from crab_jax.annotation.review import reviews


def _decision(name, verdict, text="a text", by="ann", **more):
  return {
    "id": name, "hash": reviews.text_hash(text), "verdict": verdict,
    "text": "", "reason": "", "reviewer": by, **more,
  }  # fmt: skip


def _draft(text="a text"):
  return provenance.Draft(text, "teacher", held=True)


@pytest.mark.parametrize(
  ("verdict", "more", "review", "dropped"),
  [
    ("accept", {}, "accepted", ""),
    ("reject", {"reason": "invented"}, "rejected", "rejected: invented"),
    ("label", {}, "label", "label_doubted: by ann"),
  ],
)
def test_a_decision_is_what_gets_built(verdict, more, review, dropped):
  found = reviews.applied({"a": _draft()}, [_decision("a", verdict, **more)])
  assert (found["a"].review, found["a"].dropped) == (review, dropped)
  assert found["a"].facts["reviewer"] == "ann"


def test_an_edit_keeps_the_draft_beside_it():
  found = reviews.applied(
    {"a": _draft()}, [{**_decision("a", "edit"), "text": "another"}]
  )
  assert found["a"].text == "another"
  assert found["a"].facts["draft"] == "a text"


def test_undo_takes_back_the_last_of_ones_own():
  told = [
    _decision("a", "accept"),
    _decision("a", "reject", by="bob"),
    _decision("a", "undo"),
    _decision("b", "accept"),
    _decision("b", "undo"),
    _decision("b", "undo"),
  ]
  found = reviews.applied({"a": _draft(), "b": _draft()}, told)
  assert found["a"].review == "rejected"
  assert found["b"] == _draft()


def test_a_text_that_changed_is_unreviewed():
  found = reviews.applied({"a": _draft("new")}, [_decision("a", "accept")])
  assert found["a"] == _draft("new")


def test_agreement():
  told = []
  for i, (one, other) in enumerate(
    [("accept", "edit"), ("accept", "reject"), ("label", "reject"),
     ("accept", "accept")]
  ):  # fmt: skip
    told += [_decision(str(i), one), _decision(str(i), other, by="bob")]
  found = reviews.agreement([*told, _decision("x", "accept")])
  # Both keep 2, one more is kept by Ann alone: 3/4 x 2/4 + 1/4 x 2/4 by chance.
  assert (found["pairs"], found["agreement"]) == (4, 0.75)
  assert found["kappa"] == pytest.approx((0.75 - 0.5) / 0.5)
  assert reviews.agreement([]) == {"pairs": 0, "agreement": None, "kappa": None}


def test_flagged_first_then_a_sample_and_one_in_ten_twice():
  made = [
    {"id": f"r{i}", "task": "ks", "hash": reviews.text_hash("a text"),
     "held": i % 100 == 0, "findings": []}
    for i in range(1000)
  ]  # fmt: skip
  queue = entries.queue(made, [], "ann", 0.05)
  assert [entry["held"] for entry in queue[:11]] == [True] * 10 + [False]
  assert len(queue) == 10 + 50
  few = entries.queue(made[1:40], [], "ann", 0.05)
  assert len(few) == 30
  told = [_decision(entry["id"], "accept") for entry in queue]
  assert entries.queue(made, told, "ann", 0.05) == []
  again = entries.queue(made, told, "bob", 0.05)
  assert 0 < len(again) < 20
