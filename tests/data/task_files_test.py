"""Task files: what a row becomes, and one line for every mistake."""

import dataclasses
import json

import pytest

from crab_jax import errors
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import scores
from tests.data import own_rows

_BUILT_IN = tasks.Tasks()


def test_a_row_has_its_columns_and_the_defaults(tmp_path):
  path = own_rows.write(tmp_path, machine=own_rows.MACHINE, horn=own_rows.HORN)
  table = scores.own_tasks(path)
  assert list(table) == [*_BUILT_IN, "horn", "machine"]
  machine, horn = table["machine"], table["horn"]
  assert machine.classes == ("sound", "bearing", "belt")
  assert machine.question == "Which fault has this machine?"
  assert machine.has_test and machine.mask is None and machine.lower == ()
  assert (machine.visual, horn.visual) == ("video", "image")
  assert horn.question_keys("train") == {"question": "asked"}
  assert horn.question_keys("test") == {"question": "asked_in_test"}
  assert table.families[-1] == "hearing"


def test_no_task_file_is_none():
  assert scores.own_tasks(None) is None


def test_what_is_stored_is_what_was_read(tmp_path):
  path = own_rows.write(tmp_path, machine=own_rows.MACHINE, horn=own_rows.HORN)
  table = scores.own_tasks(path)
  stored = json.loads(json.dumps(task_files.to_json(table)))
  assert list(stored) == list(table)
  assert stored["machine"] == own_rows.STORED_MACHINE
  assert task_files.read_table(stored, "here") == table


def test_a_stored_row_of_another_version_is_named():
  stored = task_files.to_json(_BUILT_IN)
  stored["ks"]["frames"] = 8
  with pytest.raises(
    errors.UserError, match='ks differs: its "frames" is 8 in'
  ):
    task_files.read_table(stored, "here")


def test_a_checkpoint_without_a_table_has_the_built_in_rows(tmp_path):
  assert task_files.read(tmp_path / task_files.FILE) == _BUILT_IN
  (tmp_path / task_files.FILE).write_text("{")
  with pytest.raises(errors.UserError, match="tasks.json is no JSON"):
    task_files.read(tmp_path / task_files.FILE)


def test_tables_are_joined_unless_a_row_differs(tmp_path):
  both = scores.own_tasks(
    own_rows.write(tmp_path, machine=own_rows.MACHINE, horn=own_rows.HORN)
  )
  one = scores.own_tasks(own_rows.write(tmp_path, machine=own_rows.MACHINE))
  assert one.joined(both, "a", "b") == both == both.joined(one, "a", "b")
  assert one.joined(_BUILT_IN, "a", "b") == one
  other = tasks.Tasks(
    (dataclasses.replace(one["machine"], classes=("sound",)),)
  )
  with pytest.raises(
    errors.UserError,
    match=r'task machine differs: its "classes" is \["sound", .*\] in my.json,'
    r' \["sound"\] in the records',
  ):
    one.joined(other, "my.json", "the records")
  # What is not read is no difference.
  silent = dataclasses.replace(one["machine"], templates=())
  assert one.joined(tasks.Tasks((silent,)), "a", "b") == one


_MISTAKES = (
  ({"frams": 4}, 'unknown key "frams"; there are family, kind'),
  ({"lead_in": None}, '"lead_in" must be a string, it is null'),
  ({"frames": "4"}, "\"frames\" must be a whole number from 1, it is '4'"),
  ({"frames": True}, '"frames" must be a whole number'),
  ({"frames": 1}, '"frames" must be at least 2 for a video'),
  ({"media": "video_path"}, '"media" must be a list of strings'),
  ({"media": ["video_path", 1]}, '"media" must be a string, it is 1'),
  ({"media": ["video_path"]}, '"media" ["video_path"] must be the keys of'),
  ({"media": ["clip", "audio"]}, '"media" ["clip", "audio"] must be'),
  ({"test_media": ["image", "audio"]}, '"test_media" has other kinds'),
  ({"has_test": 1}, '"has_test" must be true or false, it is 1'),
  ({"has_test": False}, '"reference" is of test.json'),
  ({"kind": "answer"}, 'unknown "kind" "answer"; there are label, events'),
  ({"metric": "auc"}, 'unknown "metric" "auc"; there are accuracy'),
  ({"metric": "map"}, '"map" does not score the kind "label"; those that do'),
  ({"window": "halves"}, 'unknown "window" "halves"; there are sixtieths'),
  ({"window": ["tenths"]}, '"window" must be a string'),
  ({"index": "second"}, '"window" "tenths" takes no "index"'),
  ({"family": "My tasks"}, '"family" "My tasks" must be one of matching'),
  ({"synonyms": "smells"}, 'unknown "synonyms" "smells"; there are'),
  ({"mask": "labels"}, '"mask" needs an image'),
  ({"classes": ["a", "a"]}, '"classes" names one twice'),
  ({"reference": "<answer>{cause}</answer>"}, "{cause}, which \"needs\" lacks"),
  ({"reference": "{fault"}, '"reference" "{fault": '),
  ({"question": "Which {question}?"}, "unknown placeholder {question}"),
  ({"fields": {"question": "q"}}, "lacks the placeholder {question}"),
  ({"fields": {"mood": "q"}}, 'unknown "fields" "mood"; there are question'),
  ({"fields": {"question": ["q"]}}, '"fields" must give "question" a key, or'),
  ({"fields": ["question"]}, '"fields" must be an object'),
)  # fmt: skip


@pytest.mark.parametrize(("change", "said"), _MISTAKES)
def test_a_mistake_is_one_line_with_file_task_and_key(tmp_path, change, said):
  path = own_rows.write(tmp_path, machine={**own_rows.MACHINE, **change})
  with pytest.raises(errors.UserError) as caught:
    scores.own_tasks(path)
  text = str(caught.value)
  assert text.startswith(f"{path}: task machine: ")
  assert said in text
  assert "\n" not in text


@pytest.mark.parametrize(
  "key",
  [k for k in own_rows.MACHINE if k not in ("classes", "templates", "needs")],
)
def test_a_missing_key_is_named(tmp_path, key):
  row = {k: v for k, v in own_rows.MACHINE.items() if k != key}
  if key == "media":  # the only one of them with a default
    scores.own_tasks(own_rows.write(tmp_path, machine=row))
    return
  with pytest.raises(errors.UserError, match=f'machine: lacks the key "{key}"'):
    scores.own_tasks(own_rows.write(tmp_path, machine=row))


@pytest.mark.parametrize(
  "name", ["all", "emotion", "My_task", "2nd", "a-b", ""]
)
def test_a_name_that_files_or_flags_cannot_bear_is_refused(tmp_path, name):
  path = own_rows.write(tmp_path, **{name: own_rows.MACHINE})
  with pytest.raises(errors.UserError, match="a name has small letters"):
    scores.own_tasks(path)


def test_a_built_in_name_is_refused(tmp_path):
  path = own_rows.write(tmp_path, meld=own_rows.MACHINE)
  with pytest.raises(errors.UserError, match="task meld: a built-in task has"):
    scores.own_tasks(path)


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("{", "is no JSON"),
    ("[]", "must be a JSON object: task name -> row"),
    ("{}", "must be a JSON object: task name -> row"),
    ('{"a": {}, "a": {}}', 'is no JSON: the key "a" is there twice'),
    ('{"a": 1}', "task a: a row must be a JSON object"),
  ],
)
def test_a_file_that_is_none_is_named(tmp_path, text, said):
  path = tmp_path / "my_tasks.json"
  path.write_text(text)
  with pytest.raises(errors.UserError) as caught:
    scores.own_tasks(path)
  assert said in str(caught.value) and str(path) in str(caught.value)
  with pytest.raises(errors.UserError, match="does not exist"):
    scores.own_tasks(tmp_path / "none.json")


def test_metrics_of_masks_need_masks(tmp_path):
  path = own_rows.write(tmp_path, horn={**own_rows.HORN, "metric": "j"})
  with pytest.raises(errors.UserError, match='"j" needs the key "mask"'):
    scores.own_tasks(path)
  row = {**own_rows.HORN, "metric": "j", "mask": "gt_mask"}
  scores.own_tasks(own_rows.write(tmp_path, horn=row))
