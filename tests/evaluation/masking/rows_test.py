"""Masks of the rows of predictions: kept, resumed, scored without a model."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import prepared_records
from crab_jax.evaluation import decode
from crab_jax.evaluation import held_out
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation import rescoring
from crab_jax.evaluation.masking import rows
from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import score_sheet
from crab_jax.evaluation.scoring import scores
from crab_jax.training import mask_folder
from tests.data import small_records
from tests.evaluation.masking import small_sam2

_TEXTS = {
  "s4": ["[20,20,80,80] [50,50]", "no idea", "[90,90,150,150]", None],
  "ref_avs": ["<answer>true</answer> [9,9,70,70]", "<answer>false</answer>"],
}
_CONFIG = configs.Evaluation(mask_batch=2)


def _mask() -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(
    masks.filled_box((20, 20, 80, 80)).astype(np.uint8) * 255
  ).save(buffer, "PNG")
  return buffer.getvalue()


def _record(task: str, row: int):
  changes = {"mask": _mask(), "meta": {"vid": f"v{row}"}}
  if task == "s4" and row == 2:
    changes["frames"] = [b"damaged"]
  if task == "ref_avs" and row == 1:
    changes |= {
      "mask": b"",
      "reference": {"text": "<answer>false</answer>", "split": "test_n"},
    }
  return small_records.record(task, row, "test", **changes)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
  root = tmp_path_factory.mktemp("records")
  found = [
    _record(task, row)
    for task, texts in _TEXTS.items()
    for row in range(len(texts))
  ]
  small_records.write(root, found)
  return held_out.clips(prepared_records.read(files.path(root)), _CONFIG)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = files.path(tmp_path_factory.mktemp("sam2") / "masks")
  mask_folder.save(folder, small_sam2.CONFIG, small_sam2.params())
  return folder


@pytest.fixture(scope="module")
def masker(model):
  return rows.Masker(model, _CONFIG)


@pytest.fixture
def predictions(clips, tmp_path):
  folder = files.path(tmp_path / decode.FOLDER)
  files.make_folder(folder)
  for task, texts in _TEXTS.items():
    lines = [
      decode.row(clips.find(f"{task}/test/{i}"), text, None if text else "late")
      for i, text in enumerate(texts)
    ]
    prediction_files.write_rows(prediction_files.path_of(folder, task), lines)
  return folder


def _read(folder, task):
  return scores.read_rows(prediction_files.path_of(folder, task))


def test_rows_get_their_masks(predictions, clips, masker):
  masker.add(predictions, clips)
  drawn, unread, damaged, failed = _read(predictions, "s4")
  mask = masks.from_rle(drawn["mask"])
  assert 0 < mask.sum() < mask.size
  curve = np.array(drawn["mask_curve"])
  truth = masks.filled_box((20, 20, 80, 80))
  assert curve.shape == (masks.LEVELS,)
  # At one half the probabilities are the mask.
  binary = masks.f_curve(truth, mask)[masks.LEVELS // 2]
  assert curve[masks.LEVELS // 2] == pytest.approx(binary, abs=1e-3)
  assert np.ptp(curve[1:]) > 1e-3
  assert "mask" not in unread and "mask" not in failed
  assert damaged["mask_error"].startswith("the picture does not decode")
  there, absent = _read(predictions, "ref_avs")
  assert masks.from_rle(there["mask"]).any()
  assert not masks.from_rle(absent["mask"]).any()


def test_what_failed_counts_as_wrong(predictions, clips, masker):
  masker.add(predictions, clips)
  sheet = score_sheet.of_folder(predictions, clips.table, lookup=clips.find)
  score = sheet.scored["s4"]
  parts = [row["score"]["j"] for row in score.rows]
  assert score.metric == "J" and parts[0] > 0
  assert parts[1:] == [0, 0, 0]
  assert score.value == pytest.approx(np.mean(parts))
  # A box without a point, and what is not read: the scripts drop both.
  official = score.official_compatible
  assert (official["n"], official["dropped"]) == (1, 3)
  assert official["J"] == pytest.approx(parts[0])
  null = sheet.scored["ref_avs"].details["test_n"]
  assert null["S"] == 0


def test_scoring_again_needs_no_model(predictions, clips, masker, tmp_path):
  masker.add(predictions, clips)
  sheet = score_sheet.of_folder(predictions, clips.table, lookup=clips.find)
  again = rescoring.rescore(
    predictions, files.path(tmp_path / "again"), _CONFIG, clips.table
  )
  report = json.loads((again.path.parent / "report.json").read_text())
  for task, score in sheet.scored.items():
    found = report["tasks"][task]
    assert found["value"] == pytest.approx(score.value)
    assert found["details"]["F"] == pytest.approx(score.details["F"])


def test_a_stop_loses_nothing(predictions, clips, masker, monkeypatch):
  masker.add(predictions, clips)
  whole = _read(predictions, "s4")
  path = prediction_files.path_of(predictions / rows.FOLDER, "s4")
  lines = path.read_bytes().splitlines(keepends=True)
  # The last line is cut off, the one before it was never written.
  path.write_bytes(b"".join(lines[:-2]) + lines[-1][:9])
  drawn = []
  line = rows._line
  monkeypatch.setattr(
    rows, "_line", lambda row, *a: drawn.append(row["id"]) or line(row, *a)
  )
  masker.add(predictions, clips)
  assert len(drawn) == 2
  assert _read(predictions, "s4") == whole


def test_processes_that_start_one_after_the_other_leave_out_no_row(
  predictions, clips, masker, monkeypatch
):
  """The later ones see what the first one drew."""
  masker.add(predictions, clips)
  whole = {task: _read(predictions, task) for task in _TEXTS}
  own = predictions / rows.FOLDER
  for task in _TEXTS:
    files.remove(prediction_files.path_of(own, task))
  monkeypatch.setattr(rows.jax, "process_count", lambda: 3)
  for process in range(3):
    monkeypatch.setattr(rows.jax, "process_index", lambda now=process: now)
    masker._draw(predictions, own, clips)
  drawn = [
    row["id"]
    for path in sorted(own.glob("*.process-*.jsonl"))
    for row in scores.read_rows(path)
  ]
  assert sorted(drawn) == sorted(r["id"] for t in whole.values() for r in t)
  monkeypatch.undo()
  masker.add(predictions, clips)
  assert {task: _read(predictions, task) for task in _TEXTS} == whole


def test_masks_of_another_model_are_refused(
  predictions, clips, masker, tmp_path
):
  masker.add(predictions, clips)
  folder = files.path(tmp_path / "other")
  mask_folder.save(folder, small_sam2.CONFIG, small_sam2.params(seed=1))
  with pytest.raises(errors.UserError, match="another run .mask model"):
    rows.Masker(folder, _CONFIG).add(predictions, clips)


def test_a_curve_of_another_length_is_named(clips):
  row = decode.row(clips.find("s4/test/0"), _TEXTS["s4"][0], None)
  row["mask"] = masks.to_rle(masks.filled_box((1, 1, 9, 9)))
  with pytest.raises(errors.UserError, match="s4/test/0: its mask_curve"):
    scores.score_rows(
      clips.table["s4"], [{**row, "mask_curve": [0.5]}], clips.find
    )
