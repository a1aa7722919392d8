"""The examples of our prompts: scenes of the embedded world, said well."""

import pytest

from crab_jax.annotation import items
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.annotation.checking import checks
from crab_jax.annotation.checking import findings
from crab_jax.annotation.checking import words
from crab_jax.annotation.teaching import prompts
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

_TABLE, _PROMPTS = tasks.Tasks(), prompts.load(None)
_INSTRUMENTS = ("drum", "horn", "guitar", "flute", "bell", "shaker")
_MOTIONS = ("standing", "sliding", "jumping", "swinging")
_LOWER_LEFT, _UPPER_RIGHT = (14, 126, 97, 209), (126, 14, 209, 97)


def _event(label, start, end, modality="both"):
  return intervals.Event(label, float(start), float(end), modality)


# Family -> of each example the task, the answer, the name, the row.
_CLIPS = {
  "matching": [
    ("a2v", {"label": "2"}, "", {}),
    ("v2a", {"label": "1"}, "", {}),
  ],
  "action": [
    ("ks", {"label": "sliding to a shaker"}, "", {}),
    ("ks", {"label": "playing the piano"}, "", {}),
  ],
  "emotion": [
    ("meld", {"label": "anger"}, "", {}),
    ("mafw", {"label": "sadness"}, "", {}),
    ("dfew", {"label": "surprise"}, "", {}),
  ],
  "qa": [
    ("avqa", {"label": "southeast"}, "",
     {"question": "Where do you see the bell?"}),
    ("avqa", {"label": "two"}, "",
     {"question": "How many instruments sound?"}),
    ("avqa_thu", {"label": "pink"}, "",
     {"question": "Which colour sounds first?", "options": ("red", "pink")}),
  ],
  "localization": [
    ("ave", {"events": (_event("shaker", 6, 8),)}, "", {}),
    ("avvp", {"events": (
      _event("flute", 0, 3, "visual"), _event("drum", 5, 9, "visual"),
      _event("guitar", 1, 5, "audio"), _event("drum", 6, 10, "audio"),
    )}, "", {}),
  ],
  "segmentation": [
    ("ms3", {"box": _UPPER_RIGHT, "points": ((168, 49),) * 3}, "drum", {}),
    ("s4", {"box": _LOWER_LEFT, "points": ((56, 161),) * 3}, "horn", {}),
  ],
  "existence": [
    ("ref_avs",
     {"exists": True, "box": _LOWER_LEFT, "points": ((56, 161),) * 3},
     "the blue instrument that is silent",
     {"expression": "the blue instrument that is silent"}),
    ("ref_avs", {"exists": False}, "the blue thing that sounds",
     {"expression": "the blue thing that sounds"}),
  ],
}  # fmt: skip
_VOCABULARIES = {
  "action": [f"{m} to a {i}" for m in _MOTIONS for i in _INSTRUMENTS],
  "emotion": ["anger", "sadness", "surprise", "happiness", "fear", "neutral"],
  "localization": _INSTRUMENTS,
  "segmentation": _INSTRUMENTS,
}


def _context(family, clip, text):
  name, answer, spoken, row = clip
  task = _TABLE[name]
  truth = truths.Truth(answers.Answer(task.kind, **answer), spoken)
  item = items.Item("a", rows.Row("here", **row), name, truth, {}, None, 10.0)
  assert prompts.family(task, _PROMPTS) == family
  # As if the first pass had noted all that the text says.
  notes = findings.Notes(text, text)
  vocabulary = frozenset(_VOCABULARIES.get(family, ()))
  return findings.Context(item, task, vocabulary, "en", notes)


@pytest.mark.parametrize("family", _PROMPTS.families)
def test_two_or_three_examples_pass_every_check(family):
  texts, clips = _PROMPTS.examples[family], _CLIPS[family]
  assert 2 <= len(texts) == len(clips) <= 3
  for text, clip in zip(texts, clips, strict=True):
    assert checks.run(text, _context(family, clip, text)) == []
    # What the prompt itself asks for.
    assert 2 <= len(findings.sentences(text)) <= 4
    assert len(text.split()) <= 80


def test_examples_are_unlike_each_other():
  texts = [text for own in _PROMPTS.examples.values() for text in own]
  # Of fewer than twenty texts nothing is said.
  others = [" ".join(f"w{i}_{j}" for j in range(20)) for i in range(20)]
  assert checks.sameness(dict(enumerate(texts + others))) == {}
  assert checks.sameness(dict(enumerate([*texts, texts[0], *others])))


def test_every_request_of_a_family_shows_its_examples():
  for family, clips in _CLIPS.items():
    context = _context(family, clips[0], "")
    messages = prompts.request(
      context.item, context.task, _PROMPTS, media=[], language="en"
    )
    asked = messages[1]["content"][-1]["text"]
    assert all(text in asked for text in _PROMPTS.examples[family])
    # Nor does a prompt tell the teacher to write what is refused.
    assert words.marks(prompts.fact(context.item, context.task, _PROMPTS),
                       context) is None  # fmt: skip
