"""Questions about a scene that is known."""

import collections

import numpy as np

from crab_jax.synthetic import questions
from crab_jax.synthetic import scenes

THINGS = (
  scenes.Thing("drum", "red", "northwest"),
  scenes.Thing("bell", "blue", "northeast"),
  scenes.Thing("horn", "green", "southwest"),
)
# The flute is not in view, the horn is silent.
SOUNDS = (
  scenes.Sound("bell", 12, 16),
  scenes.Sound("flute", 0, 4),
  scenes.Sound("drum", 4, 16),
)
SCENE = scenes.Scene(20, THINGS, SOUNDS, seed=0, take=0)


def _answers(template: str) -> set[tuple[str, str]]:
  return {
    (question.words[0], question.answer)
    for question in questions.about(SCENE)
    if question.template == template
  }


def test_answers_of_a_known_scene():
  assert {a for _, a in _answers("how many heard")} == {"three"}
  assert {a for _, a in _answers("how many seen")} == {"three"}
  assert {a for _, a in _answers("how many in view sound")} == {"two"}
  assert _answers("where is") == {
    ("Where is the drum?", "northwest"),
    ("Where is the bell?", "northeast"),
    ("Where is the horn?", "southwest"),
  }
  assert _answers("is it heard") == {
    ("Do you hear the red instrument?", "yes"),
    ("Do you hear the blue instrument?", "yes"),
    ("Do you hear the green instrument?", "no"),
  }


def test_sounds_outside_the_view_do_not_count_as_first():
  assert _answers("colour first or last") == {
    ("Which colour is the instrument in view that sounds first?", "red"),
    ("Which colour is the instrument in view that sounds last?", "blue"),
  }
  assert _answers("where first or last") == {
    ("Where is the instrument in view that sounds first?", "northwest"),
    ("Where is the instrument in view that sounds last?", "northeast"),
  }


def test_longer_compares_a_long_and_a_short_sound():
  assert _answers("longer") == {
    ("Does the drum sound longer than the bell?", "yes"),
    ("Does the bell sound longer than the drum?", "no"),
    ("Does the drum sound longer than the flute?", "yes"),
    ("Does the flute sound longer than the drum?", "no"),
  }
  assert _answers("longer in view") == {
    ("Does the red instrument sound longer than the blue one?", "yes"),
    ("Does the blue instrument sound longer than the red one?", "no"),
  }


def test_every_question_has_three_phrasings():
  for question in questions.about(SCENE):
    assert len(set(question.words)) >= 3


def test_pick_prefers_what_was_asked_least():
  class Question:
    def __init__(self, template, answer):
      self.template, self.answer = template, answer
      self.key = template, answer

  rng = np.random.default_rng(0)
  used = collections.Counter({("a", "yes"): 3, ("a", "no"): 1, ("b", "x"): 9})
  asked = [Question("a", "yes"), Question("a", "no"), Question("b", "x")]
  (chosen,) = questions.pick(rng, asked, used, 1)
  assert chosen.key == ("a", "no")
  assert used["a", "no"] == 2
