"""Label sets: groups, options, synonyms, and the blind guesses."""

import pytest

from crab_jax.evaluation import scores


def _rows(task, *triples):
  return [
    {"id": f"{task}/test/{i}", "text": text, "reference": reference, **extra}
    for i, (text, reference, extra) in enumerate(triples)
  ]


def test_music_avqa_by_type_and_modality():
  answers = (
    ("one", "one", ["Audio", "Counting"]),
    ("two", "one", ["Audio", "Counting"]),
    ("left", "left", ["Audio-Visual", "Location"]),
    ("yes", "no", ["Visual", "Location"]),
  )
  rows = _rows(
    "avqa",
    *(
      (f"<answer>{said}</answer>", {"text": true, "type": str(kind)}, {})
      for said, true, kind in answers
    ),
  )
  score = scores.score_rows("avqa", rows)
  assert score.value == 0.5
  assert score.details["by_type"] == {
    "AV Location": {"accuracy": 1.0, "n": 1},
    "Audio Counting": {"accuracy": 0.5, "n": 2},
    "Visual Location": {"accuracy": 0.0, "n": 1},
  }
  assert score.details["by_modality"]["Audio"] == {"accuracy": 0.5, "n": 2}


def test_a_blind_guess_knows_the_question():
  kinds = {"Counting": "two", "Location": "left"}
  rows = _rows(
    "avqa",
    *(
      ("<answer>x</answer>", {"text": true, "type": ["Audio", kind]}, {})
      for kind, true in list(kinds.items()) * 3
    ),
  )
  score = scores.score_rows("avqa", rows)
  assert score.chance == 1  # the type gives it away
  assert score.guess == "the commonest answer of the question's type"
  assert score.details["blind_guesses"]['always "left"'] == 0.5


def test_options_letters_and_positions():
  options = {"question": {"options": "['a cat', 'dog', 'ten cars', 'bus']"}}
  rows = _rows(
    "avqa_thu",
    ("<answer>B</answer>", {"text": "dog"}, options),
    ("<answer>B. dog</answer>", {"text": "dog"}, options),
    ("<answer>a</answer>", {"text": "a cat"}, options),
    ("<answer>dog</answer>", {"text": "1"}, options),
    ("<answer>A dog</answer>", {"text": "dog"}, options),
    ("<answer>E</answer>", {"text": "dog"}, options),
  )
  score = scores.score_rows("avqa_thu", rows)
  assert [row["score"]["score"] for row in score.rows] == [1, 1, 1, 1, 0, 0]
  assert score.lenient == 3
  assert score.details["label_leniency"] == {"option_letter": 3}


def test_the_best_position_is_a_blind_guess():
  rows = _rows(
    "avqa_thu",
    *(
      (
        "<answer>?</answer>",
        {"text": f"right {i}"},
        {"question": {"options": [f"right {i}", "b", "c", "d"]}},
      )
      for i in range(4)
    ),
  )
  score = scores.score_rows("avqa_thu", rows)
  assert (score.chance, score.guess) == (1, "always the same option")


def test_synonyms_and_spacing_are_counted():
  rows = _rows(
    "meld",
    ("<answer>Happy</answer>", {"text": "<answer>joy</answer>"}, {}),
    ("<answer>joy</answer>", {"text": "<answer>joy</answer>"}, {}),
    ("<answer>sur prise</answer>", {"text": "<answer>surprise</answer>"}, {}),
    ("<answer>sad</answer>", {"text": "<answer>joy</answer>"}, {}),
  )
  score = scores.score_rows("meld", rows)
  assert score.details["accuracy"] == 0.75
  assert score.lenient == 2
  assert score.details["label_leniency"] == {"synonym": 1, "spacing": 1}


def test_unread_rows_fill_the_last_column_and_leave_the_official_mean():
  rows = _rows(
    "ks",
    ("<answer>a</answer>", {"text": "<answer>a</answer>"}, {}),
    ("I have no clue about that", {"text": "<answer>a</answer>"}, {}),
    ("<answer>c</answer>", {"text": "<answer>b</answer>"}, {}),
  )
  score = scores.score_rows("ks", rows)
  confusion = score.details["confusion"]
  assert confusion == {"labels": ["a", "b"], "counts": [[1, 0, 1], [0, 0, 1]]}
  assert score.value == pytest.approx(1 / 3)
  official = score.official_compatible
  assert official == {"value": 0.5, "n": 2, "dropped": 1}
