"""The unified test: form, families, and agreement of answers on one scene."""

import json

import pytest

from crab_jax.data import tasks
from crab_jax.evaluation import unified
from crab_jax.evaluation.report import unified_page
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()
_SCENES = (("drum", (2, 5), "joy"), ("bell", (4, 6), "fear"))
_REFERENCES = {
  "ks": lambda name, span, feeling: f"<answer>jumping to a {name}</answer>",
  "ave": lambda name, span, feeling: (
    f"event:{name} start_time:{span[0]} end_time:{span[1]}"
  ),
  "avvp": lambda name, span, feeling: (
    f"<visual>{name}, ({span[0] - 1} {span[1]})</visual>"
    f" <audio>{name}, ({span[0]} {span[1] + 1})</audio>"
  ),
  "meld": lambda name, span, feeling: f"<answer>{feeling}</answer>.",
  "cremad": lambda name, span, feeling: f"<answer>{_CREMAD[feeling]}</answer>.",
}
_CREMAD = {"joy": "happy", "fear": "fear"}
_FACTS = {
  "ks": ("instrument",),
  "ave": ("instrument", "time"),
  "avvp": ("instrument", "time"),
  "meld": ("emotion",),
  "cremad": ("emotion",),
}


def _right(task: str, name: str, span, feeling: str) -> str:
  """An answer in the form of its task that is right."""
  if task == "ave":
    return f"<event>{name}, ({span[0]} {span[1]})</event>"
  return _REFERENCES[task](name, span, feeling)


def _scored(said=lambda task, number: None, split=tasks.UNIFIED):
  """The scores of two scenes; `said` gives an answer that is not right."""
  found = {}
  for task in _REFERENCES:
    rows = []
    for number, scene in enumerate(_SCENES):
      values = dict(zip(("instrument", "time", "emotion"), scene, strict=True))
      facts = {key: values[key] for key in _FACTS[task]}
      rows.append(
        {
          "id": f"{task}/{split}/{number}",
          "task": task,
          "prompt": "",
          "question": {},
          "text": said(task, number) or _right(task, *scene),
          "reference": {
            "text": _REFERENCES[task](*scene),
            tasks.FACTS: json.dumps(facts),
          },
          "error": None,
        }
      )
    found[task] = scores.score_rows(_TABLE[task], rows)
  return found


def test_right_answers_agree_and_have_the_form():
  found = unified.measure(_scored(), _scored(split="test"))
  said = found.summary
  assert (said["scenes"], said["pairs"]) == (2, 10)
  assert said["form"] == said["consistency"] == 1.0
  assert said["consistent"].keys() == {"instrument", "time", "emotion"}
  for means in said["families"].values():
    assert means == {"score": 1.0, "own_test": 1.0}


@pytest.mark.parametrize(
  ("task", "text", "attribute", "share"),
  [
    ("ks", "<answer>jumping to a bell</answer>", "instrument", 4 / 6),
    ("ave", "<event>drum, (7 9)</event>", "time", 1 / 2),
    ("meld", "<answer>fear</answer>", "emotion", 1 / 2),
    ("meld", "<answer>no word of it</answer>", "emotion", 1 / 2),
  ],
)
def test_an_answer_that_differs_disagrees(task, text, attribute, share):
  def said(name, number):
    return text if (name, number) == (task, 0) else None

  found = unified.measure(_scored(said), {}).summary
  assert found["consistent"][attribute] == pytest.approx(share)
  others = [v for k, v in found["consistent"].items() if k != attribute]
  assert all(share == 1.0 for share in others)
  assert found["consistency"] < 1


def test_two_wrong_answers_that_agree_are_consistent():
  """Agreement is of answers with each other, not with the reference."""
  wrong = {
    "ks": "<answer>jumping to a bell</answer>",
    "ave": "<event>bell, (2 5)</event>",
    "avvp": "<visual>bell, (1 5)</visual> <audio>bell, (2 6)</audio>",
  }
  scored = _scored(lambda task, number: wrong.get(task) if not number else None)
  found = unified.measure(scored, _scored(split="test")).summary
  assert found["consistent"]["instrument"] == 1.0
  assert found["families"]["action"] == {"score": 0.5, "own_test": 1.0}


def test_words_of_one_emotion_agree_across_sets():
  def said(task, number):
    return "<answer>happy</answer>" if task == "cremad" else None

  found = unified.measure(_scored(said), {}).summary
  assert found["consistent"]["emotion"] == 0.5


def test_an_answer_without_its_form_is_counted():
  def said(task, number):
    return "I do not know" if (task, number) == ("ave", 1) else None

  found = unified.measure(_scored(said), {}).summary
  assert found["form"] == pytest.approx(0.9)
  assert found["consistent"]["time"] == 0.5


def test_the_page_shows_all_answers_to_a_scene():
  found = unified.measure(_scored(), _scored(split="test"))
  html = unified_page.render(found, None)
  for number in range(2):
    assert f"<h2>Scene {number}</h2>" in html
    for task in _REFERENCES:
      assert f"<code>{task}/unified/{number}</code>" in html
