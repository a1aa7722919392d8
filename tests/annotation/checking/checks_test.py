"""Targets that read as the label, texts that are alike, and any reply at all."""

import json

import numpy as np
import pytest

from crab_jax.annotation.checking import checks
from crab_jax.annotation.checking import findings
from crab_jax.annotation.teaching import replies
from crab_jax.evaluation.reading import intervals
from tests.annotation.checking import cases


def _context(task, name="", **answer):
  return cases.context(task, answer, name=name)


_BOX = {"box": (5, 150, 60, 220), "points": ((30, 190),) * 3}
_ACTION = _context("ks", label="playing piano")
_MATCHING = _context("a2v", label="2")
_QUESTION = _context("avqa", label="two")
_EVENTS = _context(
  "ave", events=(intervals.Event("Dog", 0.0, 4.0, "both"),)
)  # fmt: skip
_PARSED = _context(
  "avvp", events=(intervals.Event("Dog", 0.0, 4.0, "visual"),)
)  # fmt: skip
_PLACE = _context("s4", "drum", **_BOX)
_CORNERS = _context("arig", "drum", box=(5, 150, 60, 220))
_THERE = _context("ref_avs", "the red drum", exists=True, **_BOX)
_ABSENT = _context("ref_avs", "the red drum", exists=False)

_GOOD = [
  (_ACTION, "Two hands move over the keys."),
  (_ACTION, "He answers with 2 of 5 fingers, from 1 to 4 seconds."),
  (_ACTION, "The answer of the left hand is a low note."),
  (_ACTION, "It is an event for 3 < 4 people, at [sic] most."),
  (_MATCHING, "The first one is silent and 1 of 2 dogs barks."),
  (_MATCHING, "Video 1 is dark; the sound is not of it."),
  (_QUESTION, "One drum is red, three are blue, and two of them sound."),
  (_QUESTION, "There are 12 people, of whom 10 sing (loudly)."),
  (_EVENTS, "A dog runs from 0 to 4 seconds, then a car comes."),
  (_EVENTS, "No event before (or after) it."),
  (_EVENTS, "Barks, 3 of them, at second 2."),
  (_PARSED, "The visual part has a dog, the audio part wind."),
  (_PARSED, "From 0 to 4 seconds a dog, 7 to 9 nothing."),
  (_PLACE, "The drum is at 30 of 224 across and low."),
  (_PLACE, "It has 2 heads [red] and (blue)."),
  (_CORNERS, "Beside it, 3 sticks lie on the left."),
  (_CORNERS, "The drum, not the 2 horns, sounds."),
  (_THERE, "It is true that a drum sounds."),
  (_THERE, "No other one is red; it would be false to say so."),
  (_ABSENT, "True, a drum is there, but none is red."),
  (_ABSENT, "Its box would lie at 10 to 20, were it there."),
]
_BAD = [
  (_EVENTS, "A <event>cat, (1 2)</event> comes first."),
  (_EVENTS, "There is <event>Dog, (5 9)</event> later."),
  (_EVENTS, "At <event>Dog, (0 4)(6 7)</event> it barks."),
  (_EVENTS, "An <event>none</event> before."),
  (_EVENTS, "One <event>dog (1 s - 3 s)</event> more."),
  (_EVENTS, "Here <event>car, [1,2]</event> goes."),
  (_PARSED, "A <visual>cat, (1 2)</visual> comes first."),
  (_PARSED, "A <audio>Dog, (0 4)</audio> is heard."),
  (_PARSED, "<event>Dog, (0 4)</event> is all."),
  (_PLACE, "The box is [1,2,30,40]."),
  (_PLACE, "At [1, 2, 30, 40] there is nothing."),
  (_PLACE, "It sounds at [10,20]."),
  (_PLACE, "From [0,0,223,223] only a part is used, [1,1]."),
  (_CORNERS, "The other one is at [100,100,150,150]."),
  (_CORNERS, "<obj>(1,2)(30,40)</obj> is a horn."),
  (_THERE, "The red drum is at [1,2,30,40]."),
  (_THERE, "Points [5,5] lie on a horn."),
  (_ACTION, "No <answer></answer> is given."),
  (_ACTION, "It is <answer>singing</answer> at first."),
  (_MATCHING, "Is it <answer>1</answer>? No."),
  (_QUESTION, "First <answer>three</answer>, then fewer."),
  (_ABSENT, "<answer>true</answer> of the blue one, at [1,2,30,40]."),
]


def _codes(context, text):
  return {found.code for found in checks.run(text, context)}


@pytest.mark.parametrize(("context", "text"), _GOOD)
def test_a_target_that_reads_as_the_label(context, text):
  assert "parse" not in _codes(context, text)


@pytest.mark.parametrize(("context", "text"), _BAD)
def test_a_target_that_does_not(context, text):
  assert "parse" in _codes(context, text)


_ALIKE = "one two three four five six seven eight"  # a window of words


def _texts(rng, count):
  words = [f"w{i}" for i in range(2000)]
  return {f"r{i}": " ".join(rng.choice(words, 20)) for i in range(count)}


# Of how many rows, how many have the phrase or the opening: both at their limit.
@pytest.mark.parametrize(
  ("rows_", "alike"),
  [(19, 19), (19, 5), (20, 1), (30, 1), (50, 1), (99, 1), (100, 1), (200, 2),
   (300, 3), (400, 4)],
)  # fmt: skip
@pytest.mark.parametrize("where", ["begin", "middle"])
def test_a_phrase_that_few_rows_share(rows_, alike, where):
  """One row, or 1 % of them; of fewer than twenty nothing is said."""
  assert checks.sameness(_shared(rows_, alike, where)) == {}


@pytest.mark.parametrize(
  ("rows_", "alike"),
  [(20, 2), (20, 20), (30, 2), (50, 3), (99, 2), (100, 2), (200, 3), (300, 4),
   (400, 5), (400, 100)],
)  # fmt: skip
@pytest.mark.parametrize("where", ["begin", "middle"])
def test_a_phrase_that_many_rows_share(rows_, alike, where):
  found = checks.sameness(_shared(rows_, alike, where))
  assert {*found} == {f"r{i}" for i in range(alike)}
  assert all(one.action == findings.FLAG for one in found.values())
  assert all(one.words == (_ALIKE,) for one in found.values())


def _shared(count, alike, where):
  texts = _texts(np.random.default_rng(0), count)
  for i in range(alike):
    said = texts[f"r{i}"]
    texts[f"r{i}"] = f"{_ALIKE} {said}" if where == "begin" else (
      f"{said} {_ALIKE} x{i}"
    )  # fmt: skip
  return texts


@pytest.mark.parametrize("count", [20, 25, 50, 100, 200])
@pytest.mark.parametrize("case", ["lower", "mixed"])
def test_openings(count, case):
  """Three words; a fifth of the rows may begin alike."""
  texts = _texts(np.random.default_rng(1), count)

  def opened(alike):
    lead = ("The frames show", "the FRAMES show") if case == "mixed" else (
      ("the frames show",) * 2
    )  # fmt: skip
    return checks.sameness(
      texts | {f"r{i}": f"{lead[i % 2]} {texts[f'r{i}']}" for i in range(alike)}
    )

  assert opened(count // 5) == {}
  found = opened(count // 5 + 1)
  assert len(found) == count // 5 + 1
  for name, one in found.items():
    # As it stands in the text, for a reviewer to see it there.
    said = (
      "the FRAMES" if case == "mixed" and int(name[1:]) % 2 else "he frames"
    )
    assert said in one.words[0]


def _fuzzed(rng, base):
  text = list(base)
  for _ in range(rng.integers(0, 12)):
    at = int(rng.integers(len(text) + 1))
    sign = chr(
      int(
        rng.choice([rng.integers(32, 127), rng.integers(0x4E00, 0x9FFF), 0, 10])
      )
    )
    if rng.random() < 0.5 and at < len(text):
      text[at] = sign
    else:
      text.insert(at, sign)
  return "".join(text)[: int(rng.integers(1, len(text) + 2))]


def _fuzz(rounds):
  rng = np.random.default_rng(0)
  base = json.dumps(
    {"seen": "a dog", "heard": ["x", 1], "reasoning": "The dog (2 4) barks from"
     " 2 to 4 seconds on the left, <b> \"so\" it is.", "doubt": "2", "why": None}
  )  # fmt: skip
  read = 0
  for index in range(rounds):
    text = _fuzzed(rng, base if index % 3 else f"Seen: a\nReasoning: {base}")
    said = replies.read(text)
    if said is not None and said.reasoning:
      read += 1
      assert 0 <= said.doubt <= 3
      for context in (cases.ACTION, cases.EVENTS, cases.LEFT, cases.EMOTION):
        checks.run(said.reasoning, context)
  assert rounds / 20 < read < rounds


def test_no_reply_raises():
  _fuzz(300)


@pytest.mark.slow
def test_ten_thousand_replies_do_not_raise():
  _fuzz(10_000)
