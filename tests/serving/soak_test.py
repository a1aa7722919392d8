"""A server that is asked without a pause holds no more memory for it.

CRAB_JAX_SOAK_SECONDS says for how long: two minutes, unless it is set.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import httpx
import pytest

from tests import model_folders
from tests import serve_test
from tests.data import clips
from tests.models import random_parameters

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SECONDS = float(os.environ.get("CRAB_JAX_SOAK_SECONDS", "120"))
_GROWTH = 0.05  # of the memory after the first tenth


@pytest.fixture
def folder(tmp_path):
  params = random_parameters.draw(model_folders.CONFIG)
  model_folders.save_model(tmp_path / "model", params)
  model_folders.save_adapter(tmp_path / "adapter", params)
  clips.write_video(tmp_path / "clip.mp4", 12)
  clips.write_audio(tmp_path / "a.wav", clips.tone(3.0))
  return tmp_path


def _wait_for(url):
  for _ in range(600):
    if httpx.get(f"{url}/health").status_code == 200:
      return
    time.sleep(0.5)
  raise AssertionError("it never was ready")


def _load(served, folder, *flags):
  """Asks the server as `tests.serving.load` does."""
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "tests.serving.load",
      f"--url={served.url}",
      f"--video={folder / 'clip.mp4'}",
      f"--audio={folder / 'a.wav'}",
      "--task=ks",
      "--clients=4",
      "--new=8",
      *flags,
    ],
    cwd=_ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done


@pytest.mark.slow
@pytest.mark.timeout(_SECONDS + 900)
def test_memory_stays(folder):
  served = serve_test._Served(
    folder,
    "--slots=4",
    "--prompt_tokens=256",
    "--new_tokens=8",
    "--benchmark",
    "--limit=key_rpm=1000000",
  )
  try:
    _wait_for(served.url)
    # The allocator has what it reuses after some hundred answers, a tenth of two
    # minutes may be fewer.
    _load(served, folder, "--requests=1000")
    done = _load(
      served, folder, f"--seconds={_SECONDS}", f"--pid={served.process.pid}"
    )
    print(done.stdout)
    growth = re.search(r"([+-][\d.]+)%", done.stdout)[1]
    assert float(growth) < 100 * _GROWTH, done.stdout
    metrics = httpx.get(f"{served.url}/metrics").text
    assert "crab_slots_used 0.0" in metrics
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 0
  finally:
    served.process.kill()
