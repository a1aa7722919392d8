"""Prediction files of the official implementation."""

import json
import types

import pytest

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation import predictions
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()

LINES = [
  {"task_name": "ks", "output": "<answer>a</answer>", "predict": "<answer>a"},
  {"task_name": "ave", "output": "x", "predict": "y"},
  {"task_name": "ks", "output": "<answer>b</answer>", "predict": None},
]


def _records(*texts, **fields):
  return [
    types.SimpleNamespace(
      id=f"ks/test/{7 + i}",
      reference={"text": text, "raw": i, **fields},
      question={"question": "?"},
      mask=b"",
    )
    for i, text in enumerate(texts)
  ]


def test_joined_by_order():
  records = _records("<answer>a</answer>", "<answer>B</answer>")
  rows, note = (
    getattr(predictions.from_official(_TABLE["ks"], LINES, records), name)
    for name in ("rows", "note")
  )
  assert [row["id"] for row in rows] == ["ks/test/7", "ks/test/8"]
  assert rows[0]["reference"] == records[0].reference
  assert rows[1]["error"] == "missing"
  assert note == (
    "2 lines without ids, joined by order; 1 lines of other tasks left out;"
    " count and references equal those of the 2 records"
  )
  assert scores.score_rows(_TABLE["ks"], rows).value == 0.5


def test_without_records():
  imported = predictions.from_official(_TABLE["ks"], LINES)
  assert [row["id"] for row in imported.rows] == ["ks/test/0", "ks/test/1"]
  assert imported.note.endswith(
    "no records to compare counts and references with"
  )
  assert scores.score_rows(_TABLE["ks"], imported.rows).n == 2


def test_the_instruction_tells_the_options():
  line = {
    "task_name": "avqa_thu",
    "instruction": "What barks? ['cat', \"a dog\", 'cow', 'hen'] Choose one.",
    "output": 1,
    "predict": "<answer>a dog</answer>",
  }
  answers = ("a dog", "B", "1", "one")
  lines = [{**line, "predict": f"<answer>{a}</answer>"} for a in answers]
  rows = predictions.from_official(_TABLE["avqa_thu"], lines).rows
  assert rows[0]["question"] == {"options": ["cat", "a dog", "cow", "hen"]}
  score = scores.score_rows(_TABLE["avqa_thu"], rows)
  assert [row["score"]["score"] for row in score.rows] == [1, 1, 1, 0]
  assert "always the same option" in score.details["blind_guesses"]


def test_a_wrong_count_or_order_is_an_error():
  with pytest.raises(errors.UserError, match="2 lines but 1 records"):
    predictions.from_official(
      _TABLE["ks"], LINES, _records("<answer>a</answer>")
    )
  swapped = _records("<answer>b</answer>", "<answer>a</answer>")
  with pytest.raises(errors.UserError, match="line 1 .* the orders differ"):
    predictions.from_official(_TABLE["ks"], LINES, swapped)


def test_masks_are_compared_by_their_object():
  line = {"task_name": "s4", "a_obj": "dog", "output": "ours", "predict": "."}
  record = _records("another sentence", a_obj="dog")
  assert predictions.from_official(_TABLE["s4"], [line], record).rows
  with pytest.raises(errors.UserError, match="the orders differ"):
    predictions.from_official(_TABLE["s4"], [{**line, "a_obj": "cat"}], record)


_MASKED = ("ms3", "s4", "ref_avs")  # their lines hold no mask
_TESTED = [
  task.name
  for task in tasks.Tasks().values()
  if task.name not in (*_MASKED, "mer24", "unav", "avcap")
]


@pytest.mark.parametrize("task", _TESTED)
def test_official_lines_score_as_our_rows_do(task, fabricate):
  rows = fabricate(task, [True, False, True, True])
  lines = []
  for row in rows:
    fields = dict(row["reference"])
    if task == "arig":  # the official reference is a sentence with the box
      (x1, y1), (x2, y2) = fields["top_left"], fields["bottom_right"]
      fields["text"] = f"the dog at <obj>({x1},{y1})({x2},{y2})</obj>"
    if task == "avqa_thu":
      fields["type"] = fields["question_type"]
    line = {"task_name": task, "output": fields["text"], "predict": row["text"]}
    if "type" in fields:
      line["type"] = fields["type"]
    lines.append(line)
  imported = predictions.from_official(_TABLE[task], lines)
  theirs = scores.score_rows(_TABLE[task], imported.rows)
  ours = scores.score_rows(_TABLE[task], rows)
  assert theirs.value == ours.value
  if task == "avqa_thu":  # their lines do not tell the options
    del ours.details["blind_guesses"]["always the same option"]
  assert theirs.details == ours.details


class _Clips:
  """Records of ks, as `held_out.Clips` gives them."""

  def of(self, task):
    found = _records("<answer>a</answer>", "<answer>b</answer>")
    return found if task == "ks" else []


def _write(path, *lines):
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _read(folder, table=_TABLE, chosen=None, clips=None):
  return {
    task: predictions.read(table[task], paths, clips)
    for task, paths in predictions.find(folder, table, chosen).items()
  }


def test_a_folder_of_both_kinds(tmp_path):
  own = {"id": "a2v/test/0", "text": "1", "reference": {"text": "1"}}
  _write(tmp_path / "a2v.jsonl", own)
  _write(tmp_path / "inference_ks.jsonl", *LINES)
  found = _read(tmp_path, _TABLE)
  assert list(found) == ["a2v", "ks"]
  assert found["a2v"] == predictions.Imported([own], "1 rows with ids")
  assert not found["ks"].ours
  (only,) = _read(tmp_path, _TABLE, ["ks"], _Clips()).values()
  assert [row["id"] for row in only.rows] == ["ks/test/7", "ks/test/8"]


def test_our_rows_are_compared_with_the_records(tmp_path):
  rows = [
    {"id": f"ks/test/{i}", "text": "a", "reference": {"text": "a"}}
    for i in (8, 99)
  ]
  _write(tmp_path / "ks.jsonl", *rows)
  imported = _read(tmp_path, _TABLE, clips=_Clips())["ks"]
  assert [row["id"] for row in imported.rows] == ["ks/test/8", "ks/test/7"]
  assert imported.rows[1]["error"] == "missing"
  assert imported.note == (
    "2 rows with ids; 1 of no record left out;"
    " 1 records without a row count as wrong"
  )


def test_an_empty_file_is_a_mistake(tmp_path):
  (tmp_path / "inference_ks.jsonl").write_text("\n")
  with pytest.raises(errors.UserError, match="inference_ks.jsonl holds no li"):
    _read(tmp_path, _TABLE, clips=_Clips())


def test_mistakes_name_the_folder(tmp_path):
  with pytest.raises(errors.UserError, match="holds no predictions"):
    _read(tmp_path / "none", _TABLE)
  with pytest.raises(errors.UserError, match="holds no ave.jsonl"):
    _read(tmp_path, _TABLE, ["ave"])
  _write(tmp_path / "inference_ks.jsonl", *LINES)
  _write(tmp_path / "ks.jsonl", {"id": "ks/test/0"}, LINES[0])
  with pytest.raises(errors.UserError, match="both ks.jsonl and inference_ks"):
    _read(tmp_path, _TABLE)
  (tmp_path / "inference_ks.jsonl").unlink()
  with pytest.raises(errors.UserError, match="1 of 2 lines have no id"):
    _read(tmp_path, _TABLE)
  (tmp_path / "ks.jsonl").rename(tmp_path / "s4.jsonl")
  with pytest.raises(errors.UserError, match="no clips of s4"):
    _read(tmp_path, _TABLE, clips=_Clips())
