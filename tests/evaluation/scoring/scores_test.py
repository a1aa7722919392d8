"""Every task: a prediction file made and scored by hand, and properties."""

import dataclasses
import json
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import score_sheet
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


def _rows(task, *pairs):
  """Rows of (text, reference)."""
  return [
    {"id": f"{task}/test/{i}", "text": text, "reference": reference}
    for i, (text, reference) in enumerate(pairs)
  ]


def _labels(task, *pairs):
  return _rows(
    task,
    *(
      (
        said and f"<answer>{said}</answer>",
        {"text": f"<answer>{true}</answer>"},
      )
      for said, true in pairs
    ),
  )


_SQUARE = masks.to_rle(masks.filled_box((0, 0, 9, 9)))
_CORNERS = {"top_left": [0, 0], "bottom_right": [9, 9], "text": "x"}
_DOG = {"text": "event:dog start_time:2 end_time:5"}
_CAPTION = "a b c d e"

# task, rows, value, chance
GOLDEN = [
  ("a2v", _labels("a2v", (1, 1), ("two", 2), (1, 2), (None, 1)), 1 / 2, 1 / 2),
  ("v2a", _labels("v2a", (1, 1), (2, 2), (1, 2)), 2 / 3, 2 / 3),
  ("ks", _labels("ks", ("a", "a"), ("b", "a"), ("a", "b")), 1 / 3, 2 / 3),
  ("ucf", _labels("ucf", ("Apply Eye", "applyeye"), ("x", "y")), 1 / 2, 1 / 2),
  # joy: P 1, R 2/3, F 4/5; anger: P 1/2, R 1, F 2/3. Chance: joy always,
  # P 3/4, R 1, F 6/7, weight 3/4.
  (
    "meld",
    _labels(
      "meld", ("joy", "joy"), ("happy", "joy"), ("anger", "joy"), ("anger",) * 2
    ),
    3 / 4 * 4 / 5 + 1 / 4 * 2 / 3,
    3 / 4 * 6 / 7,
  ),
  ("mer24", _labels("mer24", ("sad", "sad"), (None, "angry")), 1 / 2, 1 / 3),
  ("cremad", _labels("cremad", ("neutral", "NEU"), ("HAP", "SAD")), 0.5, 0.5),
  # Recalls 2/3 and 1.
  (
    "mafw",
    _labels(
      "mafw", ("fear",) * 2, ("fear",) * 2, ("x", "fear"), ("anger",) * 2
    ),
    5 / 6,
    1 / 2,
  ),
  ("dfew", _labels("dfew", ("Happy",) * 2, ("Sad", "Neutral")), 1 / 2, 1 / 2),
  (
    "avqa",
    _rows(
      "avqa",
      ("<answer>2</answer>", {"text": "two", "type": '["Audio", "Counting"]'}),
      (
        "<answer>no</answer>",
        {"text": "yes", "type": '["Visual", "Location"]'},
      ),
      (
        "<answer>yes</answer>",
        {"text": "yes", "type": '["Visual", "Location"]'},
      ),
    ),
    2 / 3,
    2 / 3,
  ),
  (
    "avqa_thu",
    [
      {**row, "question": {"options": ["dog", "cat", "car"]}}
      for row in _rows(
        "avqa_thu",
        ("<answer>B</answer>", {"text": "cat"}),
        ("<answer>dog</answer>", {"text": "0"}),
        ("<answer>car</answer>", {"text": "cat"}),
      )
    ],
    2 / 3,
    2 / 3,
  ),
  # 7 of 10; unread, so 0. Chance: background but for 2-5 is all right.
  (
    "ave",
    _rows("ave", ("<event>dog, (3 7)</event>", _DOG), ("no idea at all", _DOG)),
    0.35,
    1,
  ),
  # One of two dogs: P 1, R 1/2 at every tIoU.
  (
    "unav",
    _rows(
      "unav",
      ("<event>dog, (0 4)</event>", {"text": "<event>dog, (0 4)</event>"}),
      ("none of it", {"text": "<event>dog, (0 4)</event>"}),
    ),
    1 / 2,
    1,
  ),
  # Type@AV 5/9 (see video_parsing_test). Chance: the reference itself.
  (
    "avvp",
    _rows(
      "avvp",
      (
        "<audio>dog, (0 2)</audio> <visual>dog, (2 6)</visual>",
        {"text": "<audio>dog, (0 4)</audio> <visual>dog, (2 6)</visual>"},
      ),
    ),
    5 / 9,
    1,
  ),
  # Box IoU 50/150 and 1.
  (
    "ms3",
    _rows(
      "ms3",
      ("[5,0,14,9] [5,5]", {"text": "x", "mask": _SQUARE}),
      ("[0,0,9,9] [5,5]", {"text": "x", "mask": _SQUARE}),
    ),
    2 / 3,
    1,
  ),
  ("s4", _rows("s4", ("nothing", {"text": "x", "mask": _SQUARE})), 0, 1),
  (
    "ref_avs",
    _rows(
      "ref_avs",
      (
        "<answer>true</answer> [0,0,9,9]",
        {"text": "x", "split": "test_s", "mask": _SQUARE},
      ),
      ("<answer>false</answer>", {"text": "x", "split": "test_n"}),
      (
        "<answer>false</answer>",
        {"text": "x", "split": "test_u", "mask": _SQUARE},
      ),
    ),
    1 / 2,
    1,
  ),
  (
    "arig",
    _rows("arig", ("[0,0,9,9]", _CORNERS), ("[5,0,14,9]", _CORNERS)),
    1 / 2,
    1,
  ),
  # Right; and 3/4, 2/3, 1/2 and none of the n-grams.
  (
    "avcap",
    _rows(
      "avcap",
      ("a b c d", {"text": "a b c d"}),
      ("e f g z", {"text": "e f g h"}),
    ),
    (1 + (3 / 4 + 2 / 3 + 1 / 2) / 4) / 2,
    1 / 2,
  ),
]


def test_every_task_has_a_metric_of_its_kind_and_a_golden_file():
  for task in _TABLE.values():
    assert task.kind in scores.METRICS[task.metric].kinds
  assert [golden[0] for golden in GOLDEN] == list(tasks.Tasks())


def test_the_readme_names_every_metric_beside_its_kinds():
  readme = pathlib.Path(scores.__file__).parents[2] / "data" / "README.md"
  table = {
    line.split("`")[1]: set(line.split("`")[3::2])
    for line in readme.read_text().splitlines()
    if line.startswith("| `") and line.split("`")[1] in tasks.KINDS
  }
  wanted = {
    kind: {name for name, m in scores.METRICS.items() if kind in m.kinds}
    for kind in tasks.KINDS
  }
  for kind in tasks.KINDS:
    assert wanted[kind] <= table[kind], kind


@pytest.mark.parametrize(
  ("task", "rows", "value", "chance"), GOLDEN, ids=[g[0] for g in GOLDEN]
)
def test_golden(tmp_path, task, rows, value, chance):
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (tmp_path / f"{task}.jsonl").write_text(lines)
  score = score_sheet.of_folder(tmp_path, _TABLE).scored[task]
  assert score.value == pytest.approx(value, abs=1e-9)
  assert score.chance == pytest.approx(chance, abs=1e-9)
  assert score.n == len(rows)
  assert score.family == tasks.Tasks()[task].family


def _each_task(test):
  """Hypothesis examples of every task; the fixture makes the rows."""
  test = hypothesis.settings(deadline=None, max_examples=12)(test)
  return pytest.mark.parametrize("task", list(tasks.Tasks()))(test)


_SEEDS = st.integers(0, 10_000)
_RIGHTS = st.lists(st.booleans(), min_size=2, max_size=12)


@_each_task
@hypothesis.given(count=st.integers(2, 12), seed=_SEEDS)
def test_perfect_is_one(task, fabricate, count, seed):
  score = scores.score_rows(_TABLE[task], fabricate(task, [True] * count, seed))
  assert score.value == pytest.approx(1, abs=1e-9)
  assert 0 <= score.chance <= 1 + 1e-9
  assert score.lenient == score.parse_failures == 0
  assert score.official_compatible["value"] == pytest.approx(1, abs=1e-9)
  assert all(row["score"]["score"] == pytest.approx(1) for row in score.rows)


@pytest.mark.parametrize("task", list(tasks.Tasks()))
def test_chance_is_below_perfect(task, fabricate):
  assert (
    scores.score_rows(_TABLE[task], fabricate(task, [True] * 12)).chance < 1
  )


@_each_task
@hypothesis.given(rights=_RIGHTS, seed=_SEEDS, text=st.sampled_from((None, "")))
def test_nothing_read_is_zero(task, fabricate, rights, seed, text):
  rows = [{**row, "text": text} for row in fabricate(task, rights, seed)]
  score = scores.score_rows(_TABLE[task], rows)
  assert score.value == 0
  assert score.failed + score.parse_failures == len(rights)
  # To say nothing is an answer where the official convention drops no row.
  keeps = task in ("ave", "unav")
  assert score.official_compatible["n"] == len(rights) * keeps
  assert score.official_compatible["dropped"] == len(rights) * (not keeps)


@_each_task
@hypothesis.given(rights=_RIGHTS, seed=_SEEDS, data=st.data())
def test_order_does_not_matter(task, fabricate, rights, seed, data):
  rows = fabricate(task, rights, seed)
  shuffled = data.draw(st.permutations(rows))
  first, second = (scores.score_rows(_TABLE[task], r) for r in (rows, shuffled))
  assert first.value == pytest.approx(second.value, abs=1e-12)
  assert first.chance == pytest.approx(second.chance, abs=1e-12)


@_each_task
@hypothesis.given(rights=_RIGHTS, seed=_SEEDS, data=st.data())
def test_a_share_between_0_and_1_that_a_right_row_never_lowers(
  task, fabricate, rights, seed, data
):
  right = fabricate(task, [True] * len(rights), seed)
  wrong = fabricate(task, [False] * len(rights), seed + 1)
  more = data.draw(st.sampled_from(range(len(rights))))

  def value(chosen):
    rows = [
      row if good else {**row, "text": other["text"]}
      for row, other, good in zip(right, wrong, chosen, strict=True)
    ]
    return scores.score_rows(_TABLE[task], rows).value

  before = value(rights)
  after = value([good or i == more for i, good in enumerate(rights)])
  assert 0 <= before <= after + 1e-9
  assert after <= 1 + 1e-9


@_each_task
@hypothesis.given(rights=_RIGHTS, seed=_SEEDS)
def test_duplicates_change_nothing_but_their_count(
  task, fabricate, rights, seed
):
  rows = fabricate(task, rights, seed)
  again = [{**row, "text": "a second run"} for row in rows[:4]]
  first = scores.score_rows(_TABLE[task], rows)
  second = scores.score_rows(_TABLE[task], [*rows, *again])
  assert second.value == first.value
  assert (first.duplicates, second.duplicates) == (0, len(again))


@pytest.mark.parametrize("task", list(tasks.Tasks()))
def test_the_scored_rows_and_the_report_line_are_json(task, fabricate):
  score = scores.score_rows(_TABLE[task], fabricate(task, [True, False, True]))
  line = json.loads(json.dumps(score.to_json()))
  assert "rows" not in line
  assert {"metric", "value", "chance", "n", "parse_failures"} <= line.keys()
  for row in json.loads(json.dumps(score.rows)):
    assert row["parsed"]["kind"]
    assert 0 <= row["score"]["score"] <= 1


_PIECES = (
  *("<event>", "</event>", "<audio>dog, (0 4)</audio>", "dog, (0 4)", "(7 7)"),
  *("<answer>true</answer>", "<answer>false</answer>", "<answer>A</answer>"),
  *("[0,0,223,223]", "[5,5]", "[20, 10, 5, 5]", "dog", "the", "NaN", "1e999"),
)
_TEXTS = (
  st.none() | st.text() | st.lists(st.sampled_from(_PIECES)).map(" ".join)
)


@_each_task
@hypothesis.given(data=st.data())
def test_whatever_is_answered_the_numbers_are_json(task, fabricate, data):
  count = data.draw(st.integers(1, 4))
  rows = fabricate(task, [True] * count, data.draw(_SEEDS))
  for row in rows:
    row["text"] = data.draw(_TEXTS)
    if task == "ref_avs" and data.draw(st.booleans()):
      row["reference"] |= {"split": "test_n", "mask": None}
  score = scores.score_rows(_TABLE[task], rows, released=False)
  found = json.dumps([score.to_json(), score.rows], allow_nan=False)
  assert json.loads(found)[0]["n"] == count
  assert 0 <= score.value <= 1 + 1e-9
  assert 0 <= score.official_compatible["value"] <= 1 + 1e-9


def test_a_cut_off_last_line_is_left_out(tmp_path):
  path = tmp_path / "ks.jsonl"
  path.write_text('{"id": "a"}\n{"id": "b"')
  assert scores.read_rows(path) == [{"id": "a"}]
  path.write_text('{"id": "a"\n{"id": "b"}\n')
  with pytest.raises(errors.UserError, match="ks.jsonl:1 "):
    scores.read_rows(path)
  path.write_text("[1]\n")
  with pytest.raises(errors.UserError, match="no JSON object"):
    scores.read_rows(path)


def test_errors_name_the_culprit():
  few = dataclasses.replace(_TABLE["ks"], classes=("cat", "cow"))
  row = {"id": "a/test/3", "text": "", "reference": {"text": "dog"}}
  with pytest.raises(errors.UserError, match="a/test/3: .* is 'dog', none of"):
    scores.score_rows(few, [row])
  with pytest.raises(errors.UserError, match="ks: there are no predictions"):
    scores.score_rows(_TABLE["ks"], [])
