"""guidellm and lmms-eval against the server.

They want other libraries, and gigabytes of them, so they live in an environment
of their own, whose Python is named in CRAB_JAX_CLIENTS:

  python -m venv clients
  clients/bin/pip install guidellm==0.8.1 accelerate evaluate openai pillow pytz
  clients/bin/pip install --no-deps lmms-eval==0.7.3
  CRAB_JAX_CLIENTS=clients/bin/python python -m pytest -m slow \
    tests/serving/other_clients_test.py
"""

import base64
import json
import os
import pathlib
import subprocess

import pytest

from tests.serving import conftest

_PYTHON = os.environ.get("CRAB_JAX_CLIENTS")
_SECONDS = 300  # until a client must be done; most of it are their imports
_LMMS_EVAL = pathlib.Path(__file__).with_name("lmms_eval_client.py")

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(_PYTHON is None, reason="CRAB_JAX_CLIENTS is not set"),
]


def _data_url(content):
  return "data:video/mp4;base64," + base64.b64encode(content).decode()


def _run(folder, *command):
  """What a client prints; it asks no other host."""
  environment = os.environ | {
    "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache"),
  }  # fmt: skip
  for name in ("PYTHONPATH", "HTTP_PROXY", "HTTPS_PROXY"):
    environment.pop(name, None)
  done = subprocess.run(
    command, cwd=folder, env=environment, capture_output=True, text=True,
    timeout=_SECONDS,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
  return done.stdout


def test_guidellm_measures_it(listening, media, tmp_path):
  rows = [
    {"prompt": f"What is heard {index}?", "video": _data_url(media["clip.mp4"])}
    for index in range(16)
  ]
  data = tmp_path / "rows.jsonl"
  data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
  _run(
    tmp_path, pathlib.Path(_PYTHON).with_name("guidellm"), "run",
    "--backend", f"kind=openai_http,target={listening.url},model=crab",
    "--profile", "kind=concurrent,streams=4",
    "--constraint", "kind=max_requests,count=16",
    "--data", f"kind=json_file,path={data}", "--disable-console",
  )  # fmt: skip
  written = json.loads((tmp_path / "benchmarks.json").read_text())
  (run,) = written["benchmarks"]
  found = run["requests"]["successful"]
  assert len(found) == 16
  assert not run["requests"]["errored"]
  for request in found:
    assert request["output"]
    assert request["prompt_tokens"] > 0
    assert request["output_tokens"] > 1
    assert request["time_to_first_token_ms"] > 0


def test_lmms_eval_asks_it(tmp_path, media, found_model):
  root = tmp_path / "root"
  root.mkdir()
  (root / "clip.mp4").write_bytes(media["clip.mp4"])
  server = conftest.Listening(
    tmp_path / "store", found_model, media_root=str(root)
  )
  try:
    printed = _run(
      tmp_path, _PYTHON, _LMMS_EVAL, server.url, "crab", "What is heard?",
      root / "clip.mp4", _data_url(media["clip.mp4"]),
    )  # fmt: skip
  finally:
    server.close()
  replies = json.loads(printed.splitlines()[-1])
  assert replies[0] == replies[1]  # one clip, named and sent
  text, prompt, new = replies[0]
  assert text and "LMMS_EVAL_REQUEST_FAILED" not in text
  assert prompt > new > 0
