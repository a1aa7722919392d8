"""Reasoning by templates: only what the label entails, in many forms."""

import json
import re

import numpy as np
import pytest

from crab_jax import errors
from crab_jax.annotation import facts
from crab_jax.annotation import items
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.annotation import writer_template
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals
from tests.annotation import some_truths

_TABLE = some_truths.table()
_PLANS = writer_template.load(None)


def _item(task, truth, name="a", length=10.0, **row):
  return items.Item(
    name, rows.Row("here", **row), task, truth, {}, None, length
  )


class _Blank(dict):
  """Nothing in any slot."""

  def __missing__(self, _):
    return ""


def _labelled(text):
  return truths.Truth(answers.Answer("label", label=text))


def test_every_family_has_twelve_plans():
  assert {*tasks.FAMILIES} - {*_PLANS} == {"captioning"}
  assert all(len(set(plans)) >= 12 for plans in _PLANS.values())


def test_the_fillers_of_a_plan_are_few():
  """A tiny model learns less of the answer beside long ones: compare_writers."""
  longest = {
    family: max(len(plan.format_map(_Blank()).split()) for plan in plans)
    for family, plans in _PLANS.items()
  }
  assert longest.pop("matching") <= 17
  assert max(longest.values()) <= 11, longest


def test_the_id_chooses_and_all_plans_are_chosen():
  truth = _labelled("Singing")
  said = [
    writer_template.write(_item("ks", truth, str(i)), _TABLE["ks"], _PLANS)
    for i in range(400)
  ]
  assert len(set(said)) == len(_PLANS["action"])
  again = writer_template.write(_item("ks", truth, "7"), _TABLE["ks"], _PLANS)
  assert again == said[7]


_DOG = intervals.Event("Dog", 0.0, 3.0)
_RAIN = intervals.Event("Rain", 0.0, 10.0)
_HORN = intervals.Event("car_horn", 6.0, 10.0)


def test_order_overlap_length_and_place_in_time():
  assert facts.of_events((_RAIN, _DOG), 10.0, modal=False) == (
    "Dog takes place from second 0 to 3, at the beginning of the clip, for 3"
    " seconds. Rain takes place from second 0 to 10, over the whole clip."
    " For some time Dog and Rain go on together."
  )
  apart = facts.of_events((_HORN, _DOG), 10.0, modal=False)
  assert "Then car horn" in apart and "together" not in apart
  (heard,) = [intervals.Event("Dog", 1.0, 2.0, "audio")]
  assert facts.of_events([heard], None, modal=True) == (
    "Dog is heard from second 1 to 2, for 1 second."
  )


def test_of_many_events_the_names_are_told_by_modality():
  assert facts.of_events((_HORN, _DOG, _RAIN), 10.0, modal=False) == (
    "What takes place is Dog and Rain, then car horn."
  )
  bell = intervals.Event("Bell", 1.0, 2.5, "audio")
  cats = (
    intervals.Event("Cat", 4.0, 5.0, "visual"),
    intervals.Event("Cat", 7.0, 9.0, "visual"),
  )
  assert facts.of_events((*cats, bell), 10.0, modal=True) == (
    "What is heard is Bell. What is seen is Cat."
  )


def test_an_object_is_named_and_its_box_says_where():
  box = answers.Answer("place", box=(0, 0, 30, 30))
  assert facts.of_place(truths.Truth(box, "drum")) == "What fits is drum."
  gone = answers.Answer("existence", exists=False)
  assert "Nothing" in facts.of_place(truths.Truth(gone, "drum"))


@pytest.mark.parametrize(
  "name", [name for name, task in _TABLE.items()
           if not task.templates and task.kind != "caption"]
)  # fmt: skip
def test_what_a_row_tells_beside_its_answer_is_told(name):
  """No column that helps the writer is passed over."""
  task = _TABLE[name]
  told = {"transcript": "Go away!", "hint": "He frowns.", "events": (_HORN,)}
  for seed in range(20):
    truth = some_truths.truth(np.random.default_rng(seed), task)
    item = _item(name, truth, str(seed), **told)
    said = writer_template.write(item, task, _PLANS)
    assert 'What is said is "Go away!". He frowns.' in said
    beside = "What takes place is car horn for 4 seconds, one in all."
    assert (beside in said) == (task.kind != "events")


@pytest.mark.parametrize("sounds", [False, True])
def test_the_candidate_that_fits(sounds):
  media = {"audio2": "x"} if sounds else {}
  name = "v2a" if sounds else "a2v"
  for label, said, other in (
    ("1", "first", "second"),
    ("2", "second", "first"),
  ):
    for i in range(40):
      item = _item(name, _labelled(label), str(i), media=media)
      text = writer_template.write(item, _TABLE[name], _PLANS)
      assert ("sounds" in text) == sounds or "one" in text
      assert not re.search(rf"the {other} one (goes|fits|agrees)", text)
      assert not re.search(rf"(not fit|and) the {said} one", text)


def test_a_task_brings_its_own_sentences():
  item = _item("machine", _labelled("belt"))
  said = writer_template.write(item, _TABLE["machine"], _PLANS)
  assert said == "In the sound it is heard. This points to a fault of the belt."


def test_a_label_leaves_no_marks_of_answers_in_the_reasoning():
  item = _item(
    "avqa", _labelled("two"), question="Is [1,2,3,4] <answer>x</answer>?"
  )
  said = writer_template.write(item, _TABLE["avqa"], _PLANS)
  assert not set("<>[]") & set(said)


@pytest.mark.parametrize(
  ("tree", "reason"),
  [
    ([], "a JSON object"),
    ({"action": {"openings": ["a"]}}, "openings and closings"),
    ({"action": {"openings": ["{x}"], "closings": ["a"]}}, "unknown slot {x}"),
    ({"action": {"openings": ["{"], "closings": ["a"]}}, "action"),
    ({"action": {"openings": ["a"], "closings": ["a"]}}, "lack existence"),
  ],
)
def test_a_file_of_sentences_that_is_none(tmp_path, tree, reason):
  (tmp_path / "a.json").write_text(json.dumps(tree))
  with pytest.raises(errors.UserError, match=re.escape(reason)):
    writer_template.load(tmp_path / "a.json")
