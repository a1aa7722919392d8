"""Several tasks: what one lacks costs the others nothing."""

import json

import pytest

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import score_sheet

_TABLE = tasks.Tasks()


def _write(path, *rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_one_task_that_cannot_be_scored(tmp_path, fabricate):
  _write(tmp_path / "ks.jsonl", *fabricate("ks", [True, False]))
  masks = fabricate("s4", [True, True])
  for row in masks:
    del row["reference"]["mask"]
  _write(tmp_path / "s4.jsonl", *masks)
  avvp = {"id": "avvp/test/0", "text": "x", "reference": {"text": "Chainsaw"}}
  _write(tmp_path / "avvp.jsonl", avvp)
  (tmp_path / "ave.jsonl").write_text("no JSON\nat all\n")
  (tmp_path / "unav.jsonl").write_text("")
  sheet = score_sheet.of_folder(tmp_path, _TABLE)
  assert {task: s.value for task, s in sheet.scored.items()} == {"ks": 0.5}
  assert list(sheet.unscored) == ["ave", "unav", "avvp", "s4"]
  assert "no row has a true mask" in sheet.unscored["s4"]
  assert "Chainsaw" in sheet.unscored["avvp"]
  assert "ave.jsonl:1 is no JSON" in sheet.unscored["ave"]
  assert [line.split(" ")[0] for line in sheet.remarks] == list(sheet.unscored)


def test_rows_that_cannot_be_scored_are_remarked(tmp_path, fabricate):
  rows = fabricate("avvp", [True, True])
  rows[0]["reference"]["text"] = "Chainsaw"
  _write(tmp_path / "avvp.jsonl", *rows)
  sheet = score_sheet.of_folder(tmp_path, _TABLE)
  score = sheet.scored["avvp"]
  assert (score.value, score.n, score.unscored, sheet.unscored) == (1, 1, 1, {})
  (remark,) = sheet.remarks
  assert (
    remark.startswith("avvp: 1 rows are in no mean") and "avvp/test/0" in remark
  )
  assert {row["id"] for row in score.every_row} == {row["id"] for row in rows}


def test_answers_that_a_limit_has_ended_are_noted(tmp_path, fabricate):
  rows = fabricate("ks", [True, False])
  _write(tmp_path / "ks.jsonl", rows[0], {**rows[1], "cut": "max_new_tokens"})
  _write(tmp_path / "ucf.jsonl", *fabricate("ucf", [True]))
  sheet = score_sheet.of_folder(tmp_path, _TABLE)
  assert sheet.notes == [
    "answers cut off by Evaluation.max_new_tokens: ks 1 of 2"
  ]
  assert not sheet.remarks


def test_missing_rows_are_wrong(tmp_path, fabricate):
  rows = fabricate("ks", [True] * 4)
  _write(tmp_path / "ks.jsonl", rows[0])
  expected = {"ks": {row["id"]: row["reference"] for row in rows}}
  sheet = score_sheet.of_folder(tmp_path, _TABLE, expected=expected)
  score = sheet.scored["ks"]
  assert (score.value, score.n, score.failed) == (0.25, 4, 3)


def test_a_defect_of_ours_is_not_hidden():
  with pytest.raises(ZeroDivisionError):
    score_sheet.Sheet().attempt("ks", lambda: 1 / 0)


def test_nothing_to_score(tmp_path):
  with pytest.raises(errors.UserError, match="holds no predictions"):
    score_sheet.of_folder(tmp_path, _TABLE)
  (tmp_path / "ks.jsonl").write_text("[1]\n")
  with pytest.raises(errors.UserError, match="ks.jsonl:1 is no JSON object"):
    score_sheet.of_folder(tmp_path, _TABLE)
