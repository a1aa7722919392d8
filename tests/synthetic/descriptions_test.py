"""A scene in prose: all of it, once, in words that are true."""

import dataclasses

import numpy as np
import pytest

from crab_jax.synthetic import descriptions
from crab_jax.synthetic import scenes

_SCENE = scenes.Scene(
  seconds=10,
  things=(
    scenes.Thing("drum", "red", "northwest", spans=((2, 5),)),
    scenes.Thing("flute", "blue", "southeast", spans=((0, 10),)),
  ),
  sounds=(scenes.Sound("horn", 6, 9), scenes.Sound("drum", 1, 4)),
  seed=1,
  take=2,
)
_DANCE = scenes.Scene(
  10,
  (
    scenes.Thing(
      "dancer", "pink", "northeast", motion="standing", spotlight=True
    ),
  ),
  (scenes.Sound("bell", 0, 10),),
  seed=3,
  take=4,
)
_FACE = scenes.Face(4, "open mouth", "shaking", "yellow", seed=5)


@pytest.mark.parametrize(
  ("scene", "seen", "heard"),
  [
    (
      _SCENE,
      "a red drum northwest that plays from 2 to 5 and a blue flute southeast",
      "a drum from 1 to 4, then a horn from 6 to 9",
    ),
    (_DANCE, "a pink dancer northeast that is standing", "a bell"),
    (_FACE, "a yellow face with an open mouth", "a shaking voice"),
  ],
)
def test_all_of_a_scene_is_said(scene, seen, heard):
  assert descriptions.seen(scene) == seen
  assert descriptions.heard(scene) == heard
  said = descriptions.described(np.random.default_rng(0), scene)
  assert seen in said and heard in said
  mood = said.endswith(". The mood is fear.")
  assert mood == isinstance(scene, scenes.Face)
  assert said.count(".") == 2 + mood


def test_a_picture_says_of_each_thing_whether_it_sounds():
  assert descriptions.judged(_SCENE) == (
    "a red drum northwest that sounds and a blue flute southeast that is silent"
  )


def test_where_nothing_seen_is_heard_that_is_said():
  silent = dataclasses.replace(_SCENE, sounds=(scenes.Sound("bell", 0, 3),))
  found = dict(descriptions.questions_of(silent))
  assert found["What do you both see and hear?"] == "nothing."


def test_of_a_long_clip_the_lengths_are_said():
  sounds = scenes.Sound("horn", 0, 12), scenes.Sound("drum", 4, 8)
  scene = dataclasses.replace(_SCENE, seconds=20, sounds=sounds)
  assert descriptions.heard(scene) == "a long horn, then a short drum"


def test_questions_are_answered_with_the_truth():
  found = dict(descriptions.questions_of(_SCENE))
  heard = "a drum, then a horn, the"
  assert found == {
    "What do you hear?": "a drum from 1 to 4, then a horn from 6 to 9.",
    "What do you hear first?": f"{heard} first is the drum, in short the drum.",
    "Which colour is what you hear first?": (
      f"{heard} first is the drum, the drum is red, in short red."
    ),
    "Where is what you hear first?": (
      f"{heard} first is the drum, the drum is northwest, in short northwest."
    ),
    "What do you hear last?": f"{heard} last is the horn, in short the horn.",
    "When do you both see and hear the drum?": (
      "the drum is seen from 2 to 5 and heard from 1 to 4, both from 2 to 4,"
      " in short from 2 to 4."
    ),
    "What do you see?": f"{descriptions.seen(_SCENE)}.",
    "Which colour is the drum?": "the drum is red, in short red.",
    "What is red?": "the red one is the drum, in short the drum.",
    "Where is the drum?": "the drum is northwest, in short northwest.",
    "What is northwest?": "northwest is the drum, in short the drum.",
    "When do you see the drum play?": "from 2 to 5.",
    "Which colour is the flute?": "the flute is blue, in short blue.",
    "What is blue?": "the blue one is the flute, in short the flute.",
    "Where is the flute?": "the flute is southeast, in short southeast.",
    "What is southeast?": "southeast is the flute, in short the flute.",
    "Does the drum sound?": "the red drum sounds, in short yes.",
    "Is the drum silent?": "the red drum sounds, in short no.",
    "Does the red one sound?": "the red drum sounds, in short yes.",
    "Is the red one silent?": "the red drum sounds, in short no.",
    "Does the flute sound?": "the blue flute is silent, in short no.",
    "Is the flute silent?": "the blue flute is silent, in short yes.",
    "Does the blue one sound?": "the blue flute is silent, in short no.",
    "Is the blue one silent?": "the blue flute is silent, in short yes.",
    "What do you both see and hear?": "the drum.",
    "When do you hear the horn?": "from 6 to 9.",
    "When do you hear the drum?": "from 1 to 4.",
  }
  assert dict(descriptions.questions_of(_DANCE))[
    "What does the dancer do?"
  ] == ("the dancer is standing, in short standing.")
  assert dict(descriptions.questions_of(_FACE)) == {
    "Which expression has the face?": "an open mouth.",
    "How does the voice sound?": "a shaking voice.",
    "Which mood do face and voice tell?": (
      "an open mouth, a shaking voice. The mood is fear, in short fear."
    ),
  }
