"""The command `evaluate --masks`: one process, several, what is left of a stop."""

import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from crab_jax import files
from crab_jax.data import encodings
from crab_jax.evaluation import decode
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation.scoring import masks
from crab_jax.training import mask_folder
from crab_jax.training import model_folder
from crab_jax.weights import base
from tests.data import small_records
from tests.evaluation.masking import small_sam2
from tests.models import random_parameters

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_COUNTS = {"s4": 4, "ref_avs": 2}
pytestmark = pytest.mark.slow


def _record(task, row):
  """Two neighbours share a picture."""
  rng = np.random.default_rng(row // 2)
  picture = rng.integers(0, 255, (56, 56, 3), dtype=np.uint8)
  inside = masks.filled_box((20, 20, 100, 100 + row)).astype(np.uint8) * 255
  buffer = io.BytesIO()
  Image.fromarray(inside).save(buffer, "PNG")
  return small_records.record(
    task,
    row,
    "test",
    frames=[encodings.encode_image(picture, "png", 95)],
    mask=buffer.getvalue(),
    meta={"vid": f"v{row}"},
    reference={"text": "<answer>true</answer> [20,20,100,100]"},
  )


def _said(task, row):
  """What the model is made to have said; row 1 names no place."""
  if row == 1:
    return "I see nothing"
  place = f"[{10 + row},20,{90 + row},110] [50,50]"
  return place if task == "s4" else f"<answer>true</answer> {place}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A random thinker, a random mask model and the records of two sets."""
  root = tmp_path_factory.mktemp("evaluate_masks")
  found = [_record(t, row) for t, n in _COUNTS.items() for row in range(n)]
  small_records.small_tokenizer(found).save(root / base.TOKENIZER)
  train = [small_records.record(task, 0) for task in _COUNTS]
  small_records.write(root / "records", [*train, *found])
  model_folder.save(
    root / "model",
    random_parameters.draw(small_records.MODEL),
    small_records.MODEL,
    {base.TOKENIZER: root / base.TOKENIZER},
  )
  mask_folder.save(
    files.path(root / "sam2"), small_sam2.CONFIG, small_sam2.params()
  )
  return root


def _start(place, out, *more, environment):
  return subprocess.Popen(
    [
      *(sys.executable, "-m", "crab_jax.evaluate"),
      "--gin_file=gin/base.gin",
      "--gin_param=Evaluation.batch=2",
      "--gin_param=Evaluation.max_new_tokens=2",
      "--gin_param=Evaluation.mask_batch=2",
      f"--checkpoint={place / 'model'}",
      f"--data={place / 'records'}",
      f"--out={out}",
      *more,
    ],
    cwd=_ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _run(place, out, *more):
  host = _start(place, out, *more, environment={"XLA_FLAGS": ""})
  said = host.communicate(timeout=600)
  assert host.returncode == 0, said[1][-2000:]
  return said


def _hosts(place, out, *more):
  """Two processes of two devices each."""
  address = f"localhost:{20000 + os.getpid() % 20000}"
  shared = {
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
    "JAX_COORDINATOR_ADDRESS": address,
    "JAX_NUM_PROCESSES": "2",
  }
  hosts = [
    _start(
      place,
      out,
      "--distributed",
      *more,
      environment={**shared, "JAX_PROCESS_ID": str(number)},
    )
    for number in range(2)
  ]
  said = [host.communicate(timeout=600) for host in hosts]
  assert all(host.returncode == 0 for host in hosts), said[0][1][-2000:]
  return said


def _rows(out, task):
  text = (out / "predictions" / f"{task}.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def answered(place):
  """Answers that name places, which those of random parameters do not."""
  out = place / "answered"
  for task, count in _COUNTS.items():
    rows = [
      decode.row(_record(task, row), _said(task, row), None)
      for row in range(count)
    ]
    path = files.path(out / decode.FOLDER)
    files.make_folder(path)
    prediction_files.write_rows(prediction_files.path_of(path, task), rows)
  return out


@pytest.fixture(scope="module")
def alone(place, answered):
  """The masks of one process."""
  out = place / "alone"
  shutil.copytree(answered, out)
  _run(place, out, f"--masks={place / 'sam2'}")
  return out


def test_rows_have_masks_and_the_report_their_scores(alone):
  for task, count in _COUNTS.items():
    rows = _rows(alone, task)
    assert [("mask" in row) for row in rows] == [n != 1 for n in range(count)]
  score = json.loads((alone / "report.json").read_text())["tasks"]["s4"]
  assert score["metric"] == "J"
  parts = [row["score"]["j"] for row in _rows(alone, "s4")]
  assert parts[1] == 0 and max(parts) > 0
  assert score["value"] == pytest.approx(np.mean(parts))


def test_two_processes_that_go_on_after_a_stop_equal_one(
  place, answered, alone
):
  out = place / "both"
  shutil.copytree(answered, out)
  # One process was stopped: it had drawn two masks, the second half written.
  own = out / "predictions" / "masks"
  own.mkdir()
  drawn = alone / "predictions" / "masks"
  shutil.copy(drawn / "run.json", own)
  kept = (drawn / "s4.jsonl").read_text()
  first, second, *_ = kept.splitlines(keepends=True)
  (own / "s4.jsonl").write_text(first + second[: len(second) // 2])
  said = _hosts(place, out, f"--masks={place / 'sam2'}")
  assert f"report: {out}" in said[0][0]
  assert "report:" not in said[1][0]
  for task in _COUNTS:
    one, two = _rows(alone, task), _rows(out, task)
    assert [row["id"] for row in one] == [row["id"] for row in two]
    for before, after in zip(one, two, strict=True):
      assert before.get("mask") == after.get("mask")
  one, two = (
    json.loads((o / "report.json").read_text())["tasks"] for o in (alone, out)
  )
  assert {t: x["value"] for t, x in one.items()} == pytest.approx(
    {t: x["value"] for t, x in two.items()}
  )
