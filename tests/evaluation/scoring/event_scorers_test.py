"""Event sets: what cannot be read, official conventions, blind guesses."""

import pytest

from crab_jax.data import tasks
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


def _rows(task, *pairs):
  return [
    {"id": f"{task}/test/{i}", "text": text, "reference": {"text": reference}}
    for i, (text, reference) in enumerate(pairs)
  ]


def test_ave_without_events_is_wrong_here_and_background_officially():
  reference = "event:Big dog start_time:0 end_time:4"
  rows = _rows(
    "ave",
    ("a dog is barking here", reference),
    ("<event>none</event>", reference),
    ("<event>big dog, (0 4)</event>", reference),
  )
  score = scores.score_rows(_TABLE["ave"], rows)
  parts = [row["score"]["score"] for row in score.rows]
  assert parts == pytest.approx([0, 0.6, 1])
  assert score.value == pytest.approx(1.6 / 3)
  official = score.official_compatible
  assert official["value"] == pytest.approx(2.2 / 3)
  assert (official["n"], official["dropped"]) == (3, 0)
  assert official["value_without_unread"] == pytest.approx(0.8)
  assert score.details["foreground_accuracy"] == pytest.approx(1 / 3)
  assert score.guess == "always Big dog 0-4, background 4-10"


def test_avvp_unread_is_zero_although_silence_would_score():
  reference = "<audio>dog, (0 4)</audio>"
  rows = _rows(
    "avvp", ("nothing", reference), ("<audio>none</audio>", reference)
  )
  score = scores.score_rows(_TABLE["avvp"], rows)
  # Saying nothing is right for what is seen and for both: 2 of 3.
  parts = [row["score"]["segment_type_av"] for row in score.rows]
  assert parts == pytest.approx([0, 2 / 3])
  assert score.official_compatible["value"] == pytest.approx(2 / 3)
  assert score.guess == "always dog 0-4 (audio)"


def test_the_ten_numbers_of_llp_are_means_over_clips():
  dog = "<audio>dog, (0 4)</audio> <visual>dog, (2 6)</visual>"
  rows = _rows(
    "avvp", ("<audio>dog, (0 2)</audio> <visual>dog, (2 6)</visual>", dog),
    (dog, dog), ("nothing of it", dog),
  )  # fmt: skip
  score = scores.score_rows(_TABLE["avvp"], rows)
  # The first clip as in video_parsing_test, then a perfect one, then none.
  first = {
    "segment": (2 / 3, 1, 0, 5 / 9, 6 / 7),
    "event": (1, 1, 0, 2 / 3, 1),
  }
  names = ("A", "V", "AV", "Type@AV", "Event@AV")
  for found, clips in (
    (score.details["F"], 3),
    (score.official_compatible["F"], 2),  # the unread one is left out
  ):
    assert list(found) == list(first)
    for level, values in first.items():
      assert tuple(found[level]) == names
      expected = [(value + 1) / clips for value in values]
      assert list(found[level].values()) == pytest.approx(expected, abs=1e-9)
  assert score.value == score.details["F"]["segment"]["Type@AV"]


def test_unav_official_order_and_queries():
  rows = _rows(
    "unav",
    ("<event>dog, (0 4)</event>", "<event>dog, (0 4)</event>"),
    ("<event>dog, (9 10)</event>", "<event>dog, (0 4)(5 9)</event>"),
  )
  score = scores.score_rows(_TABLE["unav"], rows)
  # One of two predictions, one of three dogs. The hit comes first; officially
  # all scores are equal and their order is turned round.
  assert score.value == pytest.approx(1 / 3)
  assert score.details["mAP"] == pytest.approx(
    {f"@0.{k}": 1 / 3 for k in range(1, 10)}
  )
  assert score.official_compatible["value"] == pytest.approx(1 / 2 * 1 / 3)
  assert score.details["queries"]["CountF1"] == 0
  assert score.official_compatible["n"] == 2
  assert [row["score"]["score"] for row in score.rows] == [1, 0]


def test_no_segment_is_one_segment_only_officially():
  rows = _rows("unav", ("<event>none</event>", "<event>dog, (0 4)</event>"))
  score = scores.score_rows(_TABLE["unav"], rows)
  assert score.details["queries"]["OSA"] == 0
  assert score.official_compatible["queries"]["OSA"] == 1


def test_the_score_of_a_unav_clip_is_the_iou_of_the_unions():
  true = "<event>dog, (0 4)(5 9)</event> <event>cat, (0 1)</event>"
  rows = _rows("unav", ("<event>dog, (2 4)(4 6)</event>", true))
  (row,) = scores.score_rows(_TABLE["unav"], rows).rows
  # Dog: 3 of 9 seconds; cat: none; the mean of both.
  assert row["score"]["score"] == pytest.approx(1 / 6)


def test_naming_every_label_is_a_blind_guess():
  labels = ("dog", "cat", "car", "cow")
  texts = [f"<event>{label}, (0 4)</event>" for label in labels] * 2
  score = scores.score_rows(
    _TABLE["unav"], _rows("unav", *((t, t) for t in texts))
  )
  assert score.value == 1
  assert score.guess == "every label with its commonest span"
  # The dogs are first and fifth of eight that are said, the cats second and
  # sixth, and so on.
  areas = [(1 / k + 2 / (k + 4)) / 2 for k in (1, 2, 3, 4)]
  assert score.chance == pytest.approx(sum(areas) / 4)


@pytest.mark.parametrize("span", ["(7 7)", "(7 3)"])
def test_an_interval_without_a_length_is_a_false_positive(span):
  true = "<event>dog, (0 4)</event>"
  said = f"<event>dog, {span}</event> {true}"
  score = scores.score_rows(_TABLE["unav"], _rows("unav", (said, true)))
  assert score.value < 1
  assert (score.partly_read, sum(score.details["unread"].values())) == (1, 1)


def test_a_second_label_of_a_block_is_a_false_positive():
  true = "<event>dog, (3 7)</event>"
  for said in (
    "<event>dog (3 7), cat (8 9)</event>",
    f"{true}<event>cat, from 8 to 9</event>",
  ):
    score = scores.score_rows(_TABLE["unav"], _rows("unav", (said, true)))
    events = score.rows[0]["parsed"]["events"]
    assert [event["label"] for event in events] == ["dog", "cat"]
    assert score.lenient == 1


@pytest.mark.parametrize("task", ["ave", "avvp"])
def test_events_that_the_grid_does_not_show_are_counted(task):
  true = "<event>dog, (0 4)</event>"
  said = "<event>dog, (0 4)(12 15)(3.1 3.2)</event>"
  score = scores.score_rows(_TABLE[task], _rows(task, (said, true)))
  assert score.value == 1
  assert score.details["events_without_segment"] == 2
