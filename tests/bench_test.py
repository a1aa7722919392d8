"""The command `bench`: it runs, and the input pipeline stays out."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_FLAGS = [
  "--gin_file=gin/base.gin",
  "--gin_param=Decoder.layers=1",
  "--gin_param=AudioTower.layers=1",
  "--gin_param=VisionTower.layers=1",
  "--gin_param=VisionTower.full_blocks=(0,)",
  "--gin_param=Rows.tokens=64",
  "--gin_param=Rows.frame_pairs=2",
  "--gin_param=Rows.chunks=2",
  "--gin_param=Rows.supervised=8",
  "--gin_param=Rows.rows=1",
]
_BANNED = ("grain", "tensorflow", "librosa", "orbax", "torch")
_SCRIPT = f"""
import sys
from crab_jax import bench, cli
try:
  cli.run(bench.main)
finally:
  found = set(name.partition(".")[0] for name in sys.modules)
  print("LOADED", sorted(found & set({_BANNED})))
"""


def _run(*flags):
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
  return subprocess.run(
    [sys.executable, "-c", _SCRIPT, *flags],
    cwd=_ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=900,
  )


@pytest.mark.slow
def test_a_step_is_timed_and_no_pipeline_is_imported(tmp_path):
  out = tmp_path / "bench.json"
  result = _run(*_FLAGS, "--steps=2", f"--out={out}")
  assert result.returncode == 0, result.stderr[-2000:]
  assert "LOADED []" in result.stdout
  assert "tokens" in result.stdout
  found = json.loads(out.read_text())
  assert found["step_seconds"] > 0
  assert 0 < found["compile_seconds"] < found["first_seconds"]
  assert found["strategy"] == "pmap"


def test_an_unknown_stage_is_named():
  result = _run(*_FLAGS, "--stage=nowhere")
  assert result.returncode == 2
  assert "pictures, backbone, tuning" in result.stderr
