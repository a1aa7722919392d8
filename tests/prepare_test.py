"""The command `python -m crab_jax.prepare`, as a user calls it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from PIL import Image

_ROOT = pathlib.Path(__file__).resolve().parents[1]


def _write_source(source, rows, text="It is the dog."):
  """The dataset s4: train rows that share one clip."""
  clip = source / "s4/AVS/v1s/dog"
  (clip / "frames").mkdir(parents=True)
  Image.new("RGB", (320, 240), (9, 99, 200)).save(clip / "frames/0.jpg")
  soundfile.write(clip / "audio.wav", np.zeros(80_000), 16_000)
  row = {
    "image_path": "AVS/v1s/dog/frames/0.jpg",
    "audio_path": "AVS/v1s/dog/audio.wav",
    "a_obj": "dog",
    "label_content": text,
  }
  (source / "s4/train.json").write_text(json.dumps([row] * rows))
  return source


def _command(*flags):
  return [sys.executable, "-m", "crab_jax.prepare", *map(str, flags)]


def _run(*flags):
  return subprocess.run(
    _command(*flags), cwd=_ROOT, capture_output=True, text=True
  )


def test_it_prepares_a_folder(tmp_path):
  source = _write_source(tmp_path / "AVUIE_2", 3)
  done = _run(
    f"--source={source}",
    f"--out={tmp_path}/out",
    "--tasks=s4",
    "--frame_size=56",
    "--frame_format=png",
    "--workers=2",
    "--shard_records=2",
  )
  assert done.returncode == 0, done.stderr
  assert "3 records in" in done.stdout
  summary = json.loads((tmp_path / "out/summary.json").read_text())
  assert summary["records"] == 3
  assert summary["preparation"]["frame_size"] == 56


@pytest.mark.parametrize(
  ("flags", "named"),
  [
    (["--tasks=s4,unknown"], "--tasks: unknown unknown; there are a2v"),
    (["--bogus=1"], "bogus"),
    (["--frame_size=0"], "frame_size"),
    (["--out="], "--out is required"),
    (["more"], "more"),
  ],
)
def test_a_mistake_is_one_line_and_code_2(tmp_path, flags, named):
  source = _write_source(tmp_path / "AVUIE_2", 1)
  done = _run(f"--source={source}", f"--out={tmp_path}/out", *flags)
  assert done.returncode == 2
  assert named in done.stderr
  assert len(done.stderr.splitlines()) == 1
  assert not (tmp_path / "out").exists()


def test_too_many_bad_records_are_code_2_after_the_report(tmp_path):
  source = _write_source(tmp_path / "AVUIE_2", 2, text="")
  done = _run(f"--source={source}", f"--out={tmp_path}/out")
  assert done.returncode == 2
  assert "empty_target: 2" in done.stdout
  assert "2 of 2 records are bad" in done.stderr
  assert len(done.stderr.splitlines()) == 1
  assert (tmp_path / "out/bad_media.jsonl").read_text().count("\n") == 2
  assert not (tmp_path / "out/summary.json").exists()


def _lines_of(path):
  return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_killed_and_started_again_it_goes_on(tmp_path):
  source = _write_source(tmp_path / "AVUIE_2", 1200)
  flags = [f"--source={source}", "--frame_size=28", "--workers=2"]
  assert _run(*flags, f"--out={tmp_path}/once").returncode == 0
  out = tmp_path / "twice"
  part = out / "journal/s4/train-00001-of-00003.jsonl.part"
  process = subprocess.Popen(_command(*flags, f"--out={out}"), cwd=_ROOT)
  while process.poll() is None and _lines_of(part) < 50:
    time.sleep(0.01)
  os.kill(process.pid, signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL, "finished before it was killed"
  assert not (out / "summary.json").exists()
  time.sleep(0.2)  # the workers see that their parent is gone
  before = _lines_of(part)
  assert before >= 50
  assert _run(*flags, f"--out={out}").returncode == 0
  for path in sorted((tmp_path / "once").rglob("*.*")):
    if path.is_file():
      twin = out / path.relative_to(tmp_path / "once")
      assert path.read_bytes() == twin.read_bytes(), path
