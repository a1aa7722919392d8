"""The cards of the HTML report."""

from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
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


def test_text_of_others_is_escaped():
  text = "<script>alert(1)</script> <answer>a & b</answer>"
  row = _row(0, 0.0, text, question={"question": "<b>who?</b>"})
  html = cards.card(_TABLE["ks"], "worst", row, None)
  assert "<script>" not in html and "<b>who" not in html
  assert "&lt;script&gt;" in html
  assert "<mark>a &amp; b</mark>" in html
  assert 'class="card bad"' in html and "worst" in html


def test_a_card_without_text_says_why():
  row = _row(0, 0.0, None, error="bad_video")
  assert "no text (bad_video)" in cards.card(_TABLE["ks"], "worst", row, None)


def test_a_kindness_is_named():
  html = cards.card(_TABLE["ks"], "best", _row(0, 1.0, "dog"), None)
  assert "lenient: untagged" in html


def test_in_words():
  events = (answers.Event("dog", 0, 3), answers.Event("cat", 1, 2.5, "audio"))
  words = cards.in_words(_TABLE["s4"], answers.Answer("events", events=events))
  assert words == "dog 0–3 s · cat 1–2.5 s (audio)"
  assert cards.in_words(_TABLE["s4"], answers.Answer("events")) == "no event"
  gone = answers.Answer("existence", exists=False)
  assert cards.in_words(_TABLE["s4"], gone) == "the object is not there"
  assert cards.in_words(
    _TABLE["s4"], answers.Answer("place", box=(1, 2, 3, 4))
  ) == ("box [1, 2, 3, 4]")


def test_timeline_has_a_row_a_label_and_modality():
  truth = (answers.Event("dog", 0, 5, "visual"),)
  said = (answers.Event("dog", 0, 5, "audio"), answers.Event("dog", 5, 8))
  svg = cards.timeline(truth, said)
  assert svg.count("<rect") == 3
  assert ">see dog<" in svg and ">hear dog<" in svg and ">dog<" in svg
  assert cards.timeline((), ()) == ""


def test_a_timeline_of_an_endless_answer_has_an_end():
  said = tuple(answers.Event(f"dog {i}", 0, 5) for i in range(500))
  svg = cards.timeline((), said)
  assert svg.count("<rect") == 12
  assert "and 488 more labels" in svg
