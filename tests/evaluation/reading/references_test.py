"""References: test strings, raw fields, and targets of a validation split."""

import dataclasses

import pytest

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import references

_TABLE = tasks.Tasks()


def test_label_with_and_without_tags():
  read = references.read
  assert read(_TABLE["meld"], {"text": "<answer>joy</answer>."}).label == "joy"
  long = "the dog is barking at the cat"
  assert read(_TABLE["avqa_thu"], {"text": long}).label == long
  target = "I hear it, hence <answer>sad</answer>."
  assert (
    read(_TABLE["mer24"], {"text": target, "discrete": "sad"}).label == "sad"
  )


@pytest.mark.parametrize(
  "reference",
  [
    {"text": "event:Violin, fiddle start_time:0 end_time:10"},
    {"text": "", "event": "Violin, fiddle", "start_time": 0, "end_time": 10},
    {"text": "So <event>Violin, fiddle, (0 10)</event>."},
  ],
)
def test_the_three_forms_of_an_ave_reference(reference):
  event = intervals.Event("Violin, fiddle", 0, 10)
  assert references.read(_TABLE["ave"], reference).events == (event,)


def test_corners_come_before_the_text():
  reference = {
    "text": "[9,9,10,10]",
    "top_left": [0, 2],
    "bottom_right": [3, 4],
  }
  assert references.read(_TABLE["arig"], reference).box == (0, 2, 3, 4)
  reference["top_left"] = "[0, 2]"  # as a string
  assert references.read(_TABLE["arig"], reference).box == (0, 2, 3, 4)
  assert references.read(_TABLE["arig"], {"text": "[1,2,3,4]"}).box == (
    1,
    2,
    3,
    4,
  )


def test_existence_by_split_or_by_target():
  def exists(**reference):
    return references.read(_TABLE["ref_avs"], reference).exists

  assert exists(text="the dog", split="test_u") is True
  assert exists(text="the dog", split="test_n") is False
  assert exists(text="<answer>false</answer>, it is not there.") is False
  assert exists(text="<answer>true</answer> [1,2,3,4]") is True


@pytest.mark.parametrize(
  ("task", "reference"),
  [
    ("ks", {"text": ""}),
    ("avvp", {"text": "a dog"}),
    ("avvp", {"text": "Chainsaw", "event": "Chainsaw"}),
    ("avvp", {"text": "<event>dog, (0 3)(4 4)</event>"}),
    ("avvp", {"text": "<event>dog, (0 3)</event><event>cat</event>"}),
    ("ave", {"text": "", "event": "dog", "start_time": "x", "end_time": 3}),
    ("ave", {"text": "event:dog start_time:3 end_time:3"}),
    ("arig", {"text": "x", "top_left": ["a", 2], "bottom_right": [3, 4]}),
    ("arig", {"text": "x", "top_left": [1], "bottom_right": [3, 4]}),
    ("avcap", {}),
  ],
)
def test_a_reference_that_says_nothing_is_an_error(task, reference):
  with pytest.raises(errors.UserError, match=f"{task}: a reference"):
    references.read(_TABLE[task], reference)


def test_a_reference_is_taken_as_it_is_written():
  said = {"text": "<answer>It is raining</answer>."}
  assert references.read(_TABLE["ks"], said).label == "It is raining"


def test_a_class_that_the_task_has_not_is_an_error():
  few = dataclasses.replace(_TABLE["ks"], classes=("cat", "cow"))
  assert references.read(few, {"text": "Cat"}).label == "Cat"
  with pytest.raises(errors.UserError, match="is 'dog', none of its classes"):
    references.read(few, {"text": "dog"})


def test_the_position_of_an_option_needs_the_options():
  row = {"reference": {"text": "1"}, "question": {"options": ["a", "b"]}}
  assert references.of_row(_TABLE["avqa_thu"], row).label == "1"
  assert references.options(row) == ("a", "b")
  del row["question"]
  assert references.options(row) == ()
  with pytest.raises(errors.UserError, match="nothing tells the options"):
    references.of_row(_TABLE["avqa_thu"], row)
  assert references.of_row(_TABLE["avqa"], row).label == "1"


@pytest.mark.parametrize(
  ("value", "fields"),
  [
    ('["Audio", "Counting"]', ("Audio", "Counting")),
    ("['a', 'b']", ("a", "b")),
    (["a", 2], ("a", "2")),
    ("[broken", ("[broken",)),
    ("plain", ("plain",)),
    (None, ()),
  ],
)
def test_lists_in_strings(value, fields):
  assert references.fields(value) == fields


def test_whether_there_is_an_object():
  def there(task, **reference):
    return references.has_object(_TABLE[task], reference, {})

  assert there("ks", text="dog") and there("s4", text="x", a_obj="dog")
  assert there("ref_avs", text="the dog", split="test_s")
  assert not there("ref_avs", text="the dog", split="test_n")
  assert not there("ref_avs", text="<answer>false</answer>.")
  with pytest.raises(errors.UserError, match="Chainsaw"):
    there("avvp", text="Chainsaw")
  options = {"options": ["a", "b"]}
  assert references.has_object(_TABLE["avqa_thu"], {"text": "1"}, options)
