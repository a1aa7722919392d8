"""The cards of the HTML report."""

from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.report import cards

_TABLE = tasks.Tasks()


def _row(i, score, text="<answer>dog</answer>", **fields):
  reference = {"text": "<answer>cat</answer>"}
  row = {"id": f"ks/test/{i}", "text": text, "reference": reference}
  return {**row, "score": {"score": score}, **fields}


def test_pick_gives_the_worst_and_best_once_each():
  rows = [_row(i, i / 10) for i in range(5)]
  worst, best = cards.pick(rows, 2)
  assert [row["score"]["score"] for row in worst] == [0, 0.1]
  assert [row["score"]["score"] for row in best] == [0.4, 0.3]
  worst, best = cards.pick(rows[:3], 2)
  assert (len(worst), len(best)) == (2, 1)
  worst, best = cards.pick(rows[:1], 2)
  assert (len(worst), len(best)) == (1, 0)


def test_a_card_has_the_words_of_its_row():
  text = "It is <answer>a & b</answer>, <obj>c</obj>"
  row = _row(0, 0.0, text, question={"question": "who?", "options": ["a", "b"]})
  card = cards.card(_TABLE["ks"], "worst", row, None)
  assert (card.id, card.which, card.tone) == ("ks/test/0", "worst", "bad")
  assert card.question == "who? — a / b"
  assert card.pieces == [
    ("It is ", False),
    ("a & b", True),
    (", ", False),
    ("c", True),
  ]
  assert card.truth == "cat"
  assert card.notes == [] and card.timeline is None
  assert card.picture is None and card.sound is None


def test_a_long_answer_is_cut():
  pieces = cards.pieces("a" * 2000)
  assert pieces == [("a" * 900 + " …", False)]
  assert cards.pieces("") == []


def test_a_card_without_text_says_why():
  row = _row(0, 0.5, None, error="bad_video")
  card = cards.card(_TABLE["ks"], "worst", row, None)
  assert (card.pieces, card.error) == ([], "bad_video")
  assert (card.tone, card.notes) == ("middling", [])


def test_leniency_and_failures_are_named():
  card = cards.card(_TABLE["ks"], "best", _row(0, 1.0, "dog"), None)
  assert card.notes == ["lenient: untagged"]
  assert card.tone == "good"
  row = {**_row(0, 0.0, "?"), "reference": {"text": "x", "a_obj": "dog"}}
  (note,) = cards.card(_TABLE["s4"], "worst", row, None).notes
  assert note.startswith("not read: ")


def test_in_words():
  events = (
    intervals.Event("dog", 0, 3),
    intervals.Event("cat", 1, 2.5, "audio"),
  )
  words = cards.in_words(_TABLE["s4"], answers.Answer("events", events=events))
  assert words == "dog 0–3 s · cat 1–2.5 s (audio)"
  assert cards.in_words(_TABLE["s4"], answers.Answer("events")) == "no event"
  gone = answers.Answer("existence", exists=False)
  assert cards.in_words(_TABLE["s4"], gone) == "the object is not there"
  assert cards.in_words(
    _TABLE["s4"], answers.Answer("place", box=(1, 2, 3, 4))
  ) == ("box [1, 2, 3, 4]")
