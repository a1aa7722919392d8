"""Events of a clip of which something else is asked."""

import pytest

from crab_jax.annotation import beside
from crab_jax.annotation import facts
from crab_jax.evaluation.reading import intervals

_BELL = intervals.Event("Bell", 4.0, 5.0, "audio")
_HORN = intervals.Event("car_horn", 0.0, 10.0, "audio")
_DRUM = intervals.Event("red drum", 4.0, 6.5, "audio")
_SEEN = intervals.Event("red drum", 0.0, 9.9, "visual")
_DOG = intervals.Event("Dog", 0.0, 3.0)
_RAIN = intervals.Event("Rain", 2.0, 10.0)
_LIST = "What is heard is car horn, then Bell for 1 second and red drum for 2.5 seconds."


def _tell(*events, question="", kind="", length=10.0, hint=""):
  return beside.tell(events, length, facts.plain, question, kind, hint)


def test_what_there_is_stands_in_order_with_its_length_and_is_counted():
  assert _tell(_BELL, _HORN, _DRUM, _SEEN) == (
    "What is seen is red drum, one in all. What is heard is car horn, then Bell"
    " for 1 second and red drum for 2.5 seconds, three in all. Of what is heard,"
    " car horn is not seen, Bell is not seen and red drum is seen: one in all."
  )
  assert _tell(_BELL, _SEEN, length=None) == (
    "What is seen is red drum for 9.9 seconds, one in all. What is heard is Bell"
    " for 1 second, one in all. Of what is heard, Bell is not seen: none in all."
  )
  assert _tell(_RAIN, _DOG) == (
    "What takes place is Dog for 3 seconds, then Rain for 8 seconds, two in all."
  )
  again = intervals.Event("Bell", 7.0, 9.0, "audio")
  assert _tell(again, _BELL) == (
    "What is heard is Bell for 1 second, then Bell for 2 seconds, one in all."
  )
  assert _tell() == ""


@pytest.mark.parametrize(
  ("kind", "said"),
  [
    ('["Audio", "Counting"]',
     "What is heard is Bell for 1 second, one in all."),
    ("Visual", "What is seen is red drum, one in all."),
    ('["Audio-Visual", "Counting"]',
     "What is heard is Bell for 1 second. Of what is heard, Bell is not seen:"
     " none in all."),
    ("Temporal", "What is seen is red drum, one in all. What is heard is Bell"
     " for 1 second, one in all. Of what is heard, Bell is not seen: none in all."),
  ],
)  # fmt: skip
def test_the_type_of_a_question_chooses_the_senses(kind, said):
  assert _tell(_BELL, _SEEN, kind=kind) == said


@pytest.mark.parametrize(
  ("question", "kind", "said"),
  [
    ("Is the drum heard?", "",
     f"{_LIST} Red drum is seen and heard for 2.5 seconds."),
    ("Is the red one heard?", "Audio",
     f"{_LIST} Red drum is heard for 2.5 seconds."),
    ("Do you see the bells longer than the car?", "",
     f"{_LIST} Bell is heard for 1 second and not seen. Car horn is heard and not"
     " seen."),
    ("Are there drums and a bell?", "Visual",
     "Red drum is seen. Bell is not seen."),
  ],
)  # fmt: skip
def test_of_what_a_question_names_each_sense_is_told(question, kind, said):
  assert _tell(_BELL, _HORN, _DRUM, _SEEN, question=question, kind=kind) == said


def test_a_hint_names_what_a_question_describes():
  events, hint = (_BELL, _HORN, _DRUM, _SEEN), "The left one is the drum"
  said = f"{_LIST} Red drum is seen and heard for 2.5 seconds."
  assert _tell(*events, question="Is the left one heard?", hint=hint) == said
  # What the question itself names comes first.
  found = _tell(*events, question="Is the left bell seen?", hint=hint)
  assert "Bell is heard" in found
  assert "Red drum is" not in found
  # A hint that tells of something else points at nothing.
  alone = _tell(*events, question="How many are heard?")
  assert _tell(*events, question="How many are heard?", hint=hint) == alone


def test_a_sense_of_which_nothing_was_labelled_is_not_denied():
  assert _tell(_BELL, question="Is the bell seen?") == (
    "What is heard is Bell for 1 second. Bell is heard for 1 second."
  )
  assert _tell(_DOG, _RAIN, question="How long does it rain?") == (
    "What takes place is Rain for 8 seconds, one in all."
  )
  assert _tell(_BELL, question="Is the bell seen?", kind="Visual") == (
    "What is heard is Bell for 1 second. Bell is heard for 1 second."
  )
