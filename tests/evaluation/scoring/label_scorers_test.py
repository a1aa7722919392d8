"""Label sets: groups, options, synonyms, and the blind guesses."""

import pytest

from crab_jax.data import tasks
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


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
  score = scores.score_rows(_TABLE["avqa"], rows)
  assert score.value == 0.5
  assert score.details["by_type"] == {
    "AV Location": {"accuracy": 1.0, "n": 1},
    "Audio Counting": {"accuracy": 0.5, "n": 2},
    "Visual Location": {"accuracy": 0.0, "n": 1},
  }
  assert score.details["by_modality"]["Audio"] == {"accuracy": 0.5, "n": 2}


def test_the_nine_types_of_music_avqa():
  """Questions of a type and how many of them are answered rightly."""
  asked = {
    ("Audio", "Counting"): (4, 3),
    ("Audio", "Comparative"): (1, 0),
    ("Visual", "Counting"): (2, 2),
    ("Visual", "Location"): (6, 1),
    ("Audio-Visual", "Existential"): (1, 1),
    ("Audio-Visual", "Counting"): (2, 1),
    ("Audio-Visual", "Location"): (3, 2),
    ("Audio-Visual", "Comparative"): (5, 0),
    ("Audio-Visual", "Temporal"): (1, 1),
  }
  rows = _rows(
    "avqa",
    *(
      (f"<answer>{'two' if i < right else 'six'}</answer>", reference, {})
      for kind, (n, right) in asked.items()
      for reference in [{"text": "two", "type": list(kind)}]
      for i in range(n)
    ),
  )
  score = scores.score_rows(_TABLE["avqa"], rows)
  assert score.value == pytest.approx(11 / 25, abs=1e-9)
  assert score.details["by_type"] == {
    f"{modality.replace('Audio-Visual', 'AV')} {kind}": {
      "accuracy": pytest.approx(right / n, abs=1e-9),
      "n": n,
    }
    for (modality, kind), (n, right) in asked.items()
  }
  # Of all questions of a modality, not of its types.
  assert score.details["by_modality"] == {
    "AV": {"accuracy": pytest.approx(5 / 12, abs=1e-9), "n": 12},
    "Audio": {"accuracy": pytest.approx(3 / 5, abs=1e-9), "n": 5},
    "Visual": {"accuracy": pytest.approx(3 / 8, abs=1e-9), "n": 8},
  }


def test_avqa_by_type_and_relation():
  kinds = (
    "Which", "Come From", "Happening", "Where", "Why", "Before Next", "When",
    "Used For",
  )  # fmt: skip
  rows = _rows(
    "avqa_thu",
    *(
      (
        f"<answer>{'dog' if i % 2 else 'cat'}</answer>",
        {
          "text": "dog",
          "question_type": kind,
          "question_relation": "Both" if i < 3 else "View",
        },
        {"question": {"options": ["cat", "dog", "car", "bus"]}},
      )
      for i, kind in enumerate(kinds)
    ),
  )
  score = scores.score_rows(_TABLE["avqa_thu"], rows)
  assert score.value == pytest.approx(1 / 2, abs=1e-9)
  assert score.details["by_type"] == {
    kind: {"accuracy": i % 2, "n": 1} for i, kind in enumerate(kinds)
  }
  assert score.details["by_relation"] == {
    "Both": {"accuracy": pytest.approx(1 / 3, abs=1e-9), "n": 3},
    "View": {"accuracy": pytest.approx(3 / 5, abs=1e-9), "n": 5},
  }


def test_uar_war_and_f1_stand_beside_each_other():
  rows = _rows(
    "dfew",
    *(
      (f"<answer>{said}</answer>", {"text": f"<answer>{true}</answer>"}, {})
      for said, true in (("sad",) * 2, ("sad",) * 2, ("sad", "angry"))
    ),
  )
  score = scores.score_rows(_TABLE["dfew"], rows)
  # Sad: P 2/3, R 1, F 4/5; angry: none. Weights 2/3 and 1/3.
  assert (score.metric, score.value) == ("UAR", 1 / 2)
  assert score.details["WAR"] == pytest.approx(2 / 3, abs=1e-9)
  assert score.details["weighted_F1"] == pytest.approx(8 / 15, abs=1e-9)


def test_a_blind_guess_knows_the_question():
  kinds = {"Counting": "two", "Location": "left"}
  rows = _rows(
    "avqa",
    *(
      ("<answer>x</answer>", {"text": true, "type": ["Audio", kind]}, {})
      for kind, true in list(kinds.items()) * 3
    ),
  )
  score = scores.score_rows(_TABLE["avqa"], rows)
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
  score = scores.score_rows(_TABLE["avqa_thu"], rows)
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
  score = scores.score_rows(_TABLE["avqa_thu"], rows)
  assert (score.chance, score.guess) == (1, "always the same option")


def test_options_that_nobody_told_are_no_guess():
  rows = _rows(
    "avqa_thu",
    ("<answer>dog</answer>", {"text": "dog"}, {}),
    ("<answer>cat</answer>", {"text": "cat"}, {}),
  )
  score = scores.score_rows(_TABLE["avqa_thu"], rows)
  assert "always the same option" not in score.details["blind_guesses"]
  assert (score.value, score.chance) == (1, 0.5)


def test_synonyms_and_spacing_are_counted():
  rows = _rows(
    "meld",
    ("<answer>Happy</answer>", {"text": "<answer>joy</answer>"}, {}),
    ("<answer>joy</answer>", {"text": "<answer>joy</answer>"}, {}),
    ("<answer>sur prise</answer>", {"text": "<answer>surprise</answer>"}, {}),
    ("<answer>sad</answer>", {"text": "<answer>joy</answer>"}, {}),
  )
  score = scores.score_rows(_TABLE["meld"], rows)
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
  score = scores.score_rows(_TABLE["ks"], rows)
  confusion = score.details["confusion"]
  assert confusion == {"labels": ["a", "b"], "counts": [[1, 0, 1], [0, 0, 1]]}
  assert score.value == pytest.approx(1 / 3)
  official = score.official_compatible
  assert official == {"value": 0.5, "n": 2, "dropped": 1}


def test_a_position_or_letter_means_its_option():
  options = {"question": {"options": ["one", "two", "cow", "1 dog"]}}
  texts = ("two", "B", "Option B", "(B)", "The answer is two.", "one")
  rows = _rows(
    "avqa_thu",
    *((text, {"text": "1"}, options) for text in texts),
    ("<answer>3</answer>", {"text": "3"}, options),
  )
  score = scores.score_rows(_TABLE["avqa_thu"], rows)
  assert [row["score"]["score"] for row in score.rows] == [1, 1, 1, 1, 1, 0, 1]
  assert score.parse_failures == 0
  assert score.details["label_leniency"]["option_position"] == 1


def test_a_position_without_options_cannot_be_scored():
  rows = _rows(
    "avqa_thu",
    ("<answer>one</answer>", {"text": "1"}, {}),
    ("<answer>dog</answer>", {"text": "dog"}, {}),
  )
  score = scores.score_rows(_TABLE["avqa_thu"], rows)
  assert (score.value, score.n, score.unscored) == (1, 1, 1)
  assert score.left_out == rows[:1]
  (remark,) = score.remarks
  assert "nothing tells the options" in remark


@pytest.mark.parametrize(
  ("text", "right", "not_read"),
  [
    ("The answer is two.", 1, 0),
    ("Answer: two", 1, 0),
    ("\\boxed{two}", 1, 0),
    ("＜answer＞two＜／answer＞", 1, 0),
    ("**two**", 1, 0),
    ("I hear two of them", 0, 1),
    ("maybe two", 0, 1),
  ],
)
def test_an_answer_without_tags_is_a_label_or_is_not_read(
  text, right, not_read
):
  rows = _rows("avqa", (text, {"text": "two"}, {}))
  score = scores.score_rows(_TABLE["avqa"], rows)
  assert (score.value, score.parse_failures) == (right, not_read)
  assert score.lenient == right
