"""The script that measures a GPU runs, with small shapes, on a CPU."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.parity import gpu_speed

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_side_is_measured(tmp_path):
  out = tmp_path / "gpu.json"
  done = subprocess.run(
    [sys.executable, "-m", "tests.parity.gpu_speed", "--tiny", f"--out={out}"],
    cwd=_ROOT,
    env={
      **os.environ,
      "XLA_FLAGS": "",
      "JAX_PLATFORMS": "cpu",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
      "OMP_NUM_THREADS": "1",  # or torch waits for busy cores
    },
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  found = json.loads(out.read_text())["found"]
  assert list(found) == [*gpu_speed.SIDES]
  for rows in found.values():
    assert [row["batch"] for row in rows] == [1]
    assert all(row["seconds"] > 0 for row in rows)
  assert "step / torch_step: " in done.stdout
  assert "decode / torch_decode: " in done.stdout


def _row(batch: int, speed: float) -> dict:
  return {
    "batch": batch,
    "seconds": 1.0,
    "tokens_per_second": speed,
    "mfu": None,
    "peak_gib": 1.0,
  }


def test_the_fastest_batch_counts_and_the_largest_is_told():
  told = gpu_speed.lines(
    {
      "torch_step": [_row(1, 10.0), _row(2, 20.0)],
      "step": [_row(1, 30.0), _row(2, 60.0), _row(4, 50.0)],
      "decode": [],
    }
  )
  assert told[2].split()[:3] == ["step", "2", "4"]
  assert told[3] == "decode             nothing was measured"
  assert told[4:] == ["step / torch_step: 3.00 in tokens/s"]


def test_the_7b_is_measured_with_samples_of_744_tokens():
  shape = gpu_speed.shapes(tiny=False)
  assert shape.tokens == 744
  assert shape.model.decoder.layers == 28
  assert shape.model.required_adapter.rank == 128
