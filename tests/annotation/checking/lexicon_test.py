"""Synonyms of other classes: what must pass and what must not, twenty of each."""

import pytest

from crab_jax.annotation import items
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.annotation.checking import findings
from crab_jax.annotation.checking import lexicon
from crab_jax.annotation.checking import senses
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

_TABLE = tasks.Tasks()


def _context(task, vocabulary, row=None, **answer):
  truth = truths.Truth(answers.Answer(_TABLE[task].kind, **answer))
  own = rows.Row("here", **(row or {}))
  item = items.Item("a", own, task, truth, {}, None, 10.0)
  return findings.Context(item, _TABLE[task], frozenset(vocabulary))


_EVENTS = _context(
  "avvp",
  ("Dog", "Speech", "Car", "Church bell", "Violin, fiddle", "Helicopter",
   "Baby cry, infant cry", "Clapping", "Motorcycle", "Train horn", "狗"),
  events=(
    intervals.Event("Dog", 0.0, 4.0, "visual"),
    intervals.Event("Speech", 2.0, 9.0, "audio"),
  ),
)  # fmt: skip
_EMOTION = _context(
  "meld", ("anger", "joy", "sadness", "neutral", "surprise", "fear"),
  label="anger", row={"transcript": "What a happy day."},
)  # fmt: skip
_GOOD = {
  "events": (
    _EVENTS,
    """Barking is heard.|A puppy runs.|A hound waits.|People are talking.
    A man speaking is heard.|A conversation goes on.|No automobile passes.
    There is no applause.|Neither fiddle nor chopper.|A carousel turns.
    It is free of motorbikes.|A chopping board lies there.|A bikini shop.
    There isn't a locomotive horn.|Nothing like an automobile.|A church stands there.
    A bell rings.|The dogs bark.|A train stands still.|Infants play.""",
  ),
  "emotion": (
    _EMOTION,
    """He is angry.|An angry man.|The voice is loud.|He is not sad.|Never calm.
    It is rather anger than joy, without joy.|No fear at all.|The happy day is over.
    He isn't afraid.|He shouts.|The mouth is open.|A fist is raised.|It is a sadistic role.
    The calming tune is over.|The door falls shut.|He comes near.|The enjoyment is gone.
    A fearless man.|A joystick lies there.|He stares.""",
  ),
}  # fmt: skip
_BAD = {
  "events": (
    _EVENTS,
    """An automobile passes.|Automobiles pass.|A fiddle plays.|A violin plays.
    The violinist bows.|Two fiddles.|A chopper flies.|Choppers fly.|Applause is heard.
    Applauding hands.|A crying baby.|An infant cries.|The infant cry is loud.|A motorbike.
    Motorbikes come.|A locomotive horn.|Church bells ring.|A steeple bell.
    A dog and a sedan.|It ends; a fiddle begins.""".replace(
      "An infant cries.", "A crying infant."
    ),
  ),
  "emotion": (
    _EMOTION,
    """He is sad.|A sad face.|He is calm.|The calm voice.|Joyful eyes.|A joyful tone.
    He is afraid.|He looks scared.|A fearful look.|He is surprised.|Surprise is plain.
    It is a neutral voice.|Joy fills it.|The sadness grows.|Fear is in it.|A sad, low voice.
    He is angry and sad.|First calm, then loud.|With neutrality.|He seems fearful.""",
  ),
}  # fmt: skip


def _parts(text):
  return [part.strip() for part in text.replace("\n", "|").split("|")]


@pytest.mark.parametrize("kind", _GOOD)
def test_what_is_no_other_class(kind):
  context, text = _GOOD[kind]
  assert len(_parts(text)) >= 20
  wrong = [t for t in _parts(text) if senses.other_class(t, context)]
  assert wrong == []


@pytest.mark.parametrize("kind", _BAD)
def test_synonyms_of_another_class(kind):
  context, text = _BAD[kind]
  assert len(_parts(text)) >= 20
  action = findings.REWRITE if kind == "events" else findings.FLAG
  for part in _parts(text):
    found = senses.other_class(part, context)
    assert found is not None, part
    assert found.action == action
    assert found.words[0] in part


def test_the_class_is_named_with_the_word():
  found = senses.other_class("At last a chopper lands.", _EVENTS)
  assert found.reason == "Helicopter is not what the clip shows"
  assert found.words == ("chopper",)


def test_scripts_without_spaces():
  assert senses.other_class("画面里有一只狗在跑。", _EVENTS).words == ("狗",)


def test_words_of_a_class():
  """Itself, the parts of a name with commas, synonyms; no abbreviations."""
  found = lexicon.words("Violin, fiddle")
  assert found[:3] == ("Violin, fiddle", "Violin", "fiddle")
  assert "violinist" in found
  assert {"angry"} <= {*lexicon.words("anger", "emotion")}
  assert "ang" not in lexicon.words("anger", "emotion")
  assert lexicon.words("juggling") == ("juggling",)


def test_a_word_that_several_classes_have_is_that_of_the_row():
  context = _context(
    "ave", ("Male speech, man speaking", "Speech"),
    events=(intervals.Event("Male speech, man speaking", 0.0, 9.0, "both"),),
  )  # fmt: skip
  assert senses.other_class("A man talking is heard.", context) is None
