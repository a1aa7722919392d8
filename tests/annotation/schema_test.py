"""Rows of a source: columns, cells, and what a task needs."""

import pytest

from crab_jax import errors
from crab_jax.annotation import rows
from crab_jax.annotation import schema
from crab_jax.data import tasks
from tests.annotation import some_truths

_TABLE = some_truths.table()


def _parse(*values, task=None):
  lines = [(f"a.csv line {i + 2}", value) for i, value in enumerate(values)]
  return schema.parse(lines, _TABLE, task)


def test_a_row_of_every_kind():
  found, faults = _parse(
    {"task": "ks", "video": "a.mp4", "label": "Singing", "group": "7"},
    {"task": "a2v", "video": "a.mp4", "video2": "b.mp4", "audio": "c.wav",
     "label": 2},
    {"task": "unav", "video": "a.mp4", "events": "Dog@0-4"},
    {"task": "avqa_thu", "video": "a.mp4", "question": "What?", "answer": "dog",
     "options": "cat;dog"},
    {"task": "s4", "image": "a.jpg", "audio": "a.wav", "object": "drum",
     "mask": "m.png"},
    {"task": "ref_avs", "image": "a.jpg", "audio": "a.wav", "exists": "false",
     "expression": "the drum"},
    {"task": "horn", "image": "a.jpg", "audio": "a.wav", "exists": True,
     "question": "A horn?", "asked": "A horn?"},
    {"task": "avcap", "video": "a.mp4", "caption": "A dog barks."},
  )  # fmt: skip
  assert faults == []
  assert [row.task for row in found] == [
    "ks", "a2v", "unav", "avqa_thu", "s4", "ref_avs", "horn", "avcap",
  ]  # fmt: skip
  assert found[0].labels == ("Singing",)
  assert found[0].media == {"video": "a.mp4"}
  assert found[1].label == "2"
  assert found[3].options == ("cat", "dog")
  assert found[6].meta == {"asked": "A horn?"}


@pytest.mark.parametrize(
  ("values", "reason"),
  [
    ({"video": "a.mp4"}, "no task"),
    ({"task": "kss"}, "unknown task 'kss'"),
    ({"task": "ks", "label": "x"}, "needs a column video and audio"),
    ({"task": "ks", "video": "a"}, "ks needs a label"),
    ({"task": "ks", "video": "a", "label": "x;y"}, "one, not several"),
    ({"task": "ks", "video": "a", "label": "x", "split": "dev"}, "split"),
    ({"task": "ks", "video": "a", "label": "x", "start": "4", "end": 3},
     "end 3 is not behind start 4"),
    ({"task": "ks", "video": "a", "label": "x", "start": "x"}, "start: "),
    ({"task": "a2v", "video": "a", "video2": "b", "audio": "c", "label": "3"},
     "is 1 or 2"),
    ({"task": "a2v", "video": "a", "video2": "b", "audio": "c", "label": "1",
      "events": "Dog@0-4"}, "say it in hint"),
    ({"task": "avqa", "video": "a", "answer": "x"}, "needs a question"),
    ({"task": "avqa", "video": "a", "question": "x"}, "needs an answer"),
    ({"task": "avqa_thu", "video": "a", "question": "x", "options": "a"},
     "two or more"),
    ({"task": "ave", "video": "a"}, "needs events"),
    ({"task": "ave", "video": "a", "events": "x"}, "events: an event is"),
    ({"task": "s4", "image": "a", "audio": "b", "object": "x"},
     "needs a box or a mask"),
    ({"task": "s4", "image": "a", "audio": "b", "box": "1,2,3,4"},
     "needs an object"),
    ({"task": "ref_avs", "image": "a", "audio": "b", "object": "x"},
     "needs exists"),
    ({"task": "arig", "image": "a", "audio": "b", "object": "x",
      "box": "1,2,3,4", "box_format": "pixels"}, "box_format"),
    ({"task": "avcap", "video": "a"}, "needs a caption"),
  ],
)  # fmt: skip
def test_a_row_that_is_none_is_named(values, reason):
  found, (fault,) = _parse(values)
  assert found == []
  assert str(fault).startswith("a.csv line 2: ")
  assert reason in fault.reason


@pytest.mark.parametrize(
  ("name", "meant"),
  [("lable", "label"), ("labl", "label"), ("labels", "label"),
   ("Label", "label"), ("vidoe", "video"), ("event", "events"),
   ("evnets", "events"), ("strat", "start"), ("transcripts", "transcript"),
   ("license", "licence"), ("objct", "object"), ("ed", "end")],
)  # fmt: skip
def test_a_misspelt_column_names_both(name, meant):
  with pytest.raises(errors.UserError, match=f"{name!r}.*{meant!r}"):
    _parse({"task": "ks", name: "x"})


def test_no_column_is_taken_for_another():
  for name in rows.COLUMNS:
    schema.check_columns([name], "here")


def test_other_columns_are_kept():
  values = {"task": "ks", "video": "a", "label": "x", "vid": "7", "Camera": 3}
  (row,), _ = _parse(values)
  assert row.meta == {"vid": "7", "Camera": 3}


def test_ids_are_unique():
  values = {"id": "a", "video": "a", "label": "x"}
  _, (fault,) = _parse(values, values, task="ks")
  assert "line 3: the id 'a' is that of a.csv line 2 too" in str(fault)


def test_every_media_key_of_the_table_is_a_column():
  for task in tasks.Tasks().values():
    columns = {schema.column_of(key) for key in task.media}
    columns |= {schema.column_of(key) for key in task.media_keys("test")}
    assert columns <= {*rows.MEDIA}
    assert len(columns) == len(task.media)
