"""Rescoring: files in, report and scored rows out, no model."""

import json

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import prepared_records
from crab_jax.data import tasks
from crab_jax.evaluation import rescoring
from crab_jax.evaluation import unified
from crab_jax.evaluation.scoring import scores
from tests.data import small_records

_TABLE = tasks.Tasks()

_ALL = configs.Evaluation()


def _write(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _report(out):
  return json.loads((out / "report.json").read_text())


def test_our_rows(tmp_path, fabricate):
  rows = fabricate("ave", [True, False, True])
  _write(tmp_path / "in" / "ave.jsonl", rows)
  written = rescoring.rescore(
    tmp_path / "in", tmp_path / "out", _ALL, tasks.Tasks()
  )
  assert written.path == tmp_path / "out" / "report.html"
  assert written.complete
  score = scores.score_rows(_TABLE["ave"], rows)
  assert _report(tmp_path / "out")["tasks"]["ave"]["value"] == score.value
  written = scores.read_rows(tmp_path / "out" / "predictions" / "ave.jsonl")
  assert written == score.rows
  assert all(row["parsed"] and row["score"] for row in written)
  again = tmp_path / "out" / "predictions"
  rescoring.rescore(again, tmp_path / "out", _ALL, tasks.Tasks())
  assert scores.read_rows(again / "ave.jsonl") == written


def test_scenes_of_all_tasks_are_scored_without_records(tmp_path, fabricate):
  own = {task: fabricate(task, [True, False]) for task in ("ks", "meld")}
  for task, rows in own.items():
    _write(tmp_path / "predictions" / f"{task}.jsonl", rows)
    scenes = [
      {**row, "id": f"{task}/unified/{i}"} for i, row in enumerate(rows)
    ]
    _write(tmp_path / unified.FOLDER / f"{task}.jsonl", scenes)
  rescoring.rescore(None, tmp_path, _ALL, tasks.Tasks())
  said = _report(tmp_path)["unified"]
  assert (said["scenes"], said["pairs"]) == (2, 4)
  for means in said["families"].values():
    assert means["score"] == means["own_test"]


def test_official_lines_in_place_stay_as_they_are(tmp_path):
  line = {"task_name": "ks", "output": "<answer>a</answer>", "predict": "a"}
  folder = tmp_path / "predictions"
  _write(folder / "inference_ks.jsonl", [line])
  rescoring.rescore(folder, tmp_path, _ALL, tasks.Tasks())
  assert [path.name for path in folder.iterdir()] == ["inference_ks.jsonl"]
  assert _report(tmp_path)["notes"] == [
    "ks: 1 lines without ids, joined by order;"
    " no records to compare counts and references with"
  ]


def test_records_tell_what_is_missing(tmp_path, capsys):
  found = [small_records.record("ks", i, "test") for i in range(4)]
  small_records.write(tmp_path / "records", found)
  row = {"id": found[2].id, "text": found[2].target, "error": None}
  row["reference"] = found[2].reference
  _write(tmp_path / "in" / "ks.jsonl", [row])
  out = tmp_path / "out"
  rescoring.rescore(
    tmp_path / "in",
    out,
    _ALL,
    tasks.Tasks(),
    prepared_records.read(tmp_path / "records"),
  )
  score = _report(out)["tasks"]["ks"]
  assert (score["value"], score["n"], score["failed"]) == (0.25, 4, 3)
  assert "3 records without a row count as wrong" in capsys.readouterr().out


def test_masks_are_missed(tmp_path):
  line = {"task_name": "s4", "output": "x", "predict": "[1,2,3,4]"}
  _write(tmp_path / "inference_s4.jsonl", [line])
  with pytest.raises(errors.UserError, match="s4: no row has a true mask"):
    rescoring.rescore(tmp_path, tmp_path / "out", _ALL, tasks.Tasks())


def test_what_one_task_lacks_costs_the_others_nothing(
  tmp_path, fabricate, capsys
):
  folder = tmp_path / "in"
  _write(folder / "ks.jsonl", fabricate("ks", [True, False]))
  line = {"task_name": "s4", "output": "x", "predict": "[1,2,3,4]"}
  _write(folder / "inference_s4.jsonl", [line])
  _write(folder / "ucf.jsonl", [])
  _write(folder / "ave.jsonl", fabricate("ave", [True]))
  _write(folder / "inference_ave.jsonl", [{"predict": "x", "output": "y"}])
  out = tmp_path / "out"
  written = rescoring.rescore(folder, out, _ALL, tasks.Tasks())
  assert not written.complete
  report = _report(out)
  assert list(report["tasks"]) == ["ks"]
  assert list(report["unscored"]) == ["ucf", "ave", "s4"]
  assert "no row has a true mask" in report["unscored"]["s4"]
  assert "holds no line" in report["unscored"]["ucf"]
  assert "which one is to be scored" in report["unscored"]["ave"]
  page = written.path.read_text()
  for text in (page, capsys.readouterr().out, (out / "report.md").read_text()):
    for task in report["unscored"]:
      assert f"{task} is not scored: " in text


def test_rows_that_nobody_can_score_stay_in_their_file(tmp_path, fabricate):
  rows = fabricate("avvp", [True, True])
  rows[1]["reference"]["text"] = "Chainsaw"
  _write(tmp_path / "in" / "avvp.jsonl", rows)
  out = tmp_path / "out"
  written = rescoring.rescore(tmp_path / "in", out, _ALL, tasks.Tasks())
  assert not written.complete
  assert _report(out)["tasks"]["avvp"]["unscored"] == 1
  kept = scores.read_rows(out / "predictions" / "avvp.jsonl")
  assert [row["text"] for row in kept] == [row["text"] for row in rows]
