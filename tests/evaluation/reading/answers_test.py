"""Reading answers: every format, every leniency, and hostile text."""

import json
import random
import time

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import labels

_TABLE = tasks.Tasks()

KINDS = ("avqa", "ave", "s4", "arig", "ref_avs", "avcap")


@pytest.mark.parametrize(
  ("text", "label", "leniency"),
  [
    ("So it is <answer>Violin</answer>.", "Violin", ()),
    ("<answer>no</answer> but <answer> yes. </answer>", "yes", ()),
    ("<answer>a</answer> and <answer>b", "a", ()),
    ("so <answer>two\nand more", "two", ("unclosed",)),
    ("< Answer >two</ANSWER>", "two", ("tag_style",)),
    ("violin.", "violin", ("untagged",)),
    ("The answer is two.", "two", ("answer_phrase", "untagged")),
    ("Answer: B", "B", ("answer_phrase", "untagged")),
    ("So \\boxed{two} it is, as I said before", "two", ("boxed",)),
    ("＜answer＞two＜／answer＞", "two", ("character_forms",)),
    ("<answer>ｔｗｏ</answer>", "two", ("character_forms",)),
    ("<answer>**two**</answer>", "two", ("markdown",)),
    ("<answer>The answer is two.</answer>", "two", ("answer_phrase",)),
    ("two</answer>", "two", ("unopened", "untagged")),
    ("全角，但 <answer>two</answer>", "two", ()),  # not in what is read
    ("<answer>dog</answer></s><answer>cat</answer>", "dog", ()),
  ],
)
def test_label(text, label, leniency):
  answer = answers.parse(_TABLE["avqa"], text)
  assert (answer.label, answer.leniency) == (label, leniency)
  assert answer.failure is None


@pytest.mark.parametrize(
  ("text", "failure"),
  [
    (None, "missing"),
    ("  ", "empty"),
    ("</s>", "empty"),
    ("I am not at all sure about this.", "no_answer"),
    ("<answer> . </answer>", "empty"),
    ("<answer>??</answer>", "empty"),
    ("\\boxed{two} or \\boxed{three}", "several_answers"),
    ("<answer>" + "x" * 300 + "</answer>", "too_long"),
  ],
)
def test_label_failures(text, failure):
  assert answers.parse(_TABLE["ks"], text).failure == failure


def test_an_earlier_answer_is_named():
  answer = answers.parse(
    _TABLE["avqa"],
    "<answer>no</answer> <answer>No.</answer> <answer>a</answer>",
  )
  assert (answer.label, answer.unread) == ("a", ("earlier_answer",))


def _known(text):
  return labels.key(text) in ("two", "it is raining")


@pytest.mark.parametrize(
  ("text", "label", "failure"),
  [
    ("two", "two", None),
    ("The answer is two.", "two", None),
    ("It is raining", "It is raining", None),  # a label as it stands
    ("<answer>It is raining</answer>", "It is raining", None),
    ("<answer>It is two</answer>", "two", None),
    ("<answer>It is cold</answer>", "It is cold", None),  # said, and wrong
    ("I hear nothing", None, "no_answer"),
    ("cold", None, "no_answer"),
  ],
)
def test_labels_that_are_known(text, label, failure):
  answer = answers.parse(_TABLE["avqa"], text, _known)
  assert (answer.label, answer.failure) == (label, failure)


_TAGGED = st.sampled_from(("two", "playing drums", "Violin, fiddle"))


@hypothesis.given(_TAGGED, st.sampled_from(("", "I hear it. ", "（全角） ")))
def test_the_official_form_is_never_lenient(label, reasoning):
  text = f"{reasoning}<answer>{label}</answer>."
  answer = answers.parse(_TABLE["avqa"], text)
  assert (answer.label, answer.failure) == (label, None)
  assert (answer.leniency, answer.unread) == ((), ())


def test_events():
  text = "<audio>dog, (0s 3)(4 5)</audio>"
  answer = answers.parse(_TABLE["avvp"], text)
  assert [(e.label, e.start, e.modality) for e in answer.events] == [
    ("dog", 0, "audio"),
    ("dog", 4, "audio"),
  ]
  assert (answer.leniency, answer.failure) == (("interval_style",), None)


def test_events_that_cannot_be_read():
  assert answers.parse(_TABLE["ave"], "a dog barks").failure == "no_event"
  assert (
    answers.parse(_TABLE["ave"], "<event>a dog</event>").failure
    == "no_interval"
  )
  assert answers.parse(_TABLE["ave"], "</event>").failure == "no_event"


def test_place_reads_box_and_points():
  answer = answers.parse(
    _TABLE["s4"], "It: [1,2,30,40], [5,6], [7,8], [9,9], [3,4]."
  )
  assert answer.box == (1, 2, 30, 40)
  assert answer.points == ((7, 8), (9, 9), (3, 4))  # the last three
  assert (answer.failure, answer.leniency) == (None, ())
  assert answers.parse(_TABLE["s4"], "a dog at [5,6]").failure == "no_box"


@pytest.mark.parametrize(
  ("text", "exists", "failure", "leniency"),
  [
    ("<answer>true</answer>. At [1,2,3,4]", True, None, ()),
    ("<answer>false</answer>.", False, None, ()),
    ("<answer>Yes</answer> [1,2,3,4]", True, None, ("synonym",)),
    ("False. It is not there at all.", False, None, ("untagged",)),
    ("<answer>true</answer>.", True, "no_box", ()),
    (
      "The answer is: true. [1,2,3,4]",
      True,
      None,
      ("answer_phrase", "untagged"),
    ),
    ("**True**, at [1,2,3,4]", True, None, ("markdown", "untagged")),
    ("<answer>maybe</answer>", None, "no_true_false", ()),
    ("It is not there.", None, "no_true_false", ()),
  ],
)
def test_existence(text, exists, failure, leniency):
  answer = answers.parse(_TABLE["ref_avs"], text)
  assert answer.exists is exists
  assert (answer.failure, answer.leniency) == (failure, leniency)


def test_a_place_beside_false_is_named():
  answer = answers.parse(_TABLE["ref_avs"], "<answer>false</answer> [1,2,3,4]")
  assert (answer.exists, answer.box) == (False, None)
  assert answer.unread == ("place_beside_false",)


def test_to_json_keeps_a_false_and_leaves_out_what_is_empty():
  answer = answers.parse(_TABLE["ref_avs"], "<answer>false</answer>")
  assert answer.to_json() == {"kind": "existence", "exists": False}


def test_every_task_has_a_form():
  kinds = {task: _TABLE[task].kind for task in tasks.Tasks()}
  assert kinds["mer24"] == "label"
  assert kinds["unav"] == "events"
  assert kinds["arig"] == "place"
  assert kinds["avcap"] == "caption"
  assert [t for t, k in kinds.items() if k == "existence"] == ["ref_avs"]


_PIECES = (
  "<answer>", "</answer>", "<event>", "</event>", "<visual>", "<audio>",
  "</audio>", "<range>", "<obj>", "</obj>", "true", "false", "dog", "Violin, ",
  "(0 3)", "[1,2,3,4]", "[5,6]", "(", ")", "[", "]", ",", " ", "\n", "<", ">",
  "/", "-", ".", "0", "9" * 30, "١", "ß", "İ", "\x00", "\ud800", "é́",
  "</s>", "<|im_end|>", "none", "to", "s", "–",
)  # fmt: skip


_SOUND = (
  "I see a violin, so <answer>Violin</answer>.",
  "Both agree: <event>Dog, bark, (0 3)(5,7)[8,10]</event> <event>cat, (1 2)"
  "</event>",
  "<visual>car,(0 4)</visual> <audio>car horn,(2 3)(4 5)</audio>",
  "is <event> Speech </event>, and the range is <range> 0,8 </range>.",
  "The drum is at [28,28,83,83] and [56,49], [56,56], [56,63].",
  "It is the bell: <obj>(14,126)(97,209)</obj>.",
  "<answer>true</answer>, it is the dog: [1,2,30,40] [5,6] [7,8] [9,9].",
  "<answer>false</answer>, it is not there.</s>",
)


def _mutated(r, text):
  """A text with a part cut out, said twice, or any characters put in."""
  for _ in range(r.randrange(1, 5)):
    start, end = sorted(r.randrange(len(text) + 1) for _ in range(2))
    text = r.choice(
      (
        text[:start] + text[end:],
        text[:end] + text[start:],
        text[:start] + chr(r.randrange(0x110000)) + text[start:],
        text[:start] + r.choice(_PIECES) + text[end:],
      )
    )
  return text


def _texts(count):
  """Half of them random, half of them answers as they should be, mutated."""
  r = random.Random(0)
  for i in range(count):
    text = "".join(r.choices(_PIECES, k=r.randrange(0, 25)))
    if i % 2:
      text = r.choice(_SOUND)
    yield text if i % 10 == 0 else _mutated(r, text)


def _fuzz(count):
  seen = 0
  for text in _texts(count):
    seen += 1
    for task in KINDS:
      answer = answers.parse(_TABLE[task], text)
      assert answer.kind == _TABLE[task].kind
      if answer.box:
        assert all(0 <= value <= 223 for value in answer.box)
        assert answer.box[0] < answer.box[2] and answer.box[1] < answer.box[3]
      # An event without a length is a false positive, and named.
      empty = [event for event in answer.events if event.start >= event.end]
      assert all(event.start >= 0 for event in answer.events)
      wrong = ("empty_interval", "reversed_interval")
      assert len(empty) == sum(name in wrong for name in answer.unread)
      json.dumps(answer.to_json())
  assert seen == count


def test_random_text_never_raises():
  _fuzz(1_500)


@pytest.mark.slow
def test_a_hundred_thousand_random_texts_never_raise():
  _fuzz(100_000)


_HOSTILE = (
  "<", "<answer>", "<event>a, (", "<event>a<range>", "((1 ", "[1,2,3,", "9",
  " ", "<obj>(1,2)",
)  # fmt: skip
_MORE_HOSTILE = (
  "<answer></", "</answer>", "< answer ", "<event>", "<event>,(1 2)", "(",
  "(1 2", "[", "[1,", "[ 1 , 2 , 3 , 4 ", "<obj>(", "-", "a ", "\n", "</s",
  "1.1.", "(1s-",
)  # fmt: skip


def _read_a_megabyte_of(piece):
  text = piece * (1_000_000 // len(piece))
  start = time.process_time()
  for task in KINDS:
    answers.parse(_TABLE[task], text)
  # Quadratic behaviour would take hours; linear takes about a second.
  assert time.process_time() - start < 30


@pytest.mark.parametrize("piece", _HOSTILE)
def test_a_megabyte_of_hostile_text_takes_linear_time(piece):
  _read_a_megabyte_of(piece)


@pytest.mark.slow
@pytest.mark.parametrize("piece", _MORE_HOSTILE)
def test_a_megabyte_of_more_hostile_text_takes_linear_time(piece):
  _read_a_megabyte_of(piece)
