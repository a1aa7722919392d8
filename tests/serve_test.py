"""The command `serve`: its mistakes are one line; its answers are predict's."""

import base64
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import openai
import pytest

from tests import cli_calls
from tests import model_folders
from tests.data import clips
from tests.models import random_parameters

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_NEW = 24  # tokens of an answer at most
# The first three see and hear the same.
_TASKS = ("ks", "ave", "avcap", "arig")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model folder, adapters, a clip."""
  folder = tmp_path_factory.mktemp("files")
  params = random_parameters.draw(model_folders.CONFIG)
  model_folders.save_model(folder / "model", params)
  model_folders.save_adapter(folder / "adapter", params)
  other = random_parameters.draw(model_folders.CONFIG, 1)
  model_folders.save_adapter(folder / "other_base", other)
  (folder / "keys").write_text("# none\n")
  clips.write_video(folder / "clip.mp4", 12)
  clips.write_audio(folder / "a.wav", clips.tone(3.0))
  return folder


def test_a_mistake_is_one_line_and_exit_code_2(folder, tmp_path):
  model = f"--checkpoint={folder / 'model'}"
  with socket.create_server(("127.0.0.1", 0)) as other:
    taken = other.getsockname()[1]
    mistakes = {
      (): "--checkpoint is required",
      (model, f"--port={taken}"): f"--port={taken} cannot be had",
      (model, "--host=0.0.0.0"): "--host=0.0.0.0 lets other machines ask",
      (model, "--host=nosuch.invalid", "--open"): "--host=nosuch.invalid",
      (model, "--limit=nosuch=3"): "--limit=nosuch=3: there are body_bytes",
      (model, "--limit=queue=many"): "'many' is no number",
      (model, "--limit=queue=0"): "Serving.queue=0 must be positive",
      (model, f"--api_keys_file={folder / 'keys'}"): "holds no key",
      ("--checkpoint=nosuch", "--port=0"): "nosuch is no model folder",
      (
        model,
        f"--adapter={folder / 'other_base'}",
        "--port=0",
      ): "other_base was trained on another base",
      (
        model,
        f"--masks={folder / 'model'}",
        "--port=0",
      ): "model is no folder of a mask model",
      (model, f"--metrics_port={taken}", "--port=0"): "--metrics_port",
    }
    (tmp_path / "empty").mkdir()
    calls = cli_calls.call("crab_jax.serve", list(mistakes), tmp_path / "empty")
  for made, culprit in zip(calls, mistakes.values(), strict=True):
    assert made.code == 2, (culprit, made)
    (line,) = [x for x in made.stderr.splitlines() if x.startswith("error:")]
    assert culprit in line
    assert "Traceback" not in made.stderr


class _Served:
  """The command, started; it has printed where it listens."""

  def __init__(self, folder, *arguments):
    self.process = subprocess.Popen(
      [
        sys.executable,
        "-m",
        "crab_jax.serve",
        f"--checkpoint={folder / 'model'}",
        f"--adapter={folder / 'adapter'}",
        "--port=0",
        *arguments,
      ],
      cwd=folder,
      env={**os.environ, "XLA_FLAGS": "", "PYTHONPATH": str(_ROOT)},
      stdout=subprocess.PIPE,
      text=True,
    )
    line = self.process.stdout.readline()
    self.url = re.search(r"http://\S+", line)[0]


def _message(folder):
  def encoded(name):
    return base64.b64encode((folder / name).read_bytes()).decode()

  video = {"url": f"data:video/mp4;base64,{encoded('clip.mp4')}"}
  return {
    "role": "user",
    "content": [
      {"type": "video_url", "video_url": video},
      {
        "type": "input_audio",
        "input_audio": {"data": encoded("a.wav"), "format": "wav"},
      },
    ],
  }


def _predicted(folder, out):
  """Task -> what `predict` answers."""
  asked = (
    f"--checkpoint={folder / 'model'}",
    f"--adapter={folder / 'adapter'}",
    f"--video={folder / 'clip.mp4'}",
    f"--audio={folder / 'a.wav'}",
    f"--max_new_tokens={_NEW}",
  )
  calls = [(*asked, f"--task={task}", f"--out={out / task}") for task in _TASKS]
  (out / "empty").mkdir()
  found = {}
  for task, made in zip(
    _TASKS,
    cli_calls.call("crab_jax.predict", calls, out / "empty"),
    strict=True,
  ):
    assert not made.code, made.stderr
    (line,) = json.loads((out / task / "answers.json").read_text())
    found[task] = line["text"]
  return found


@pytest.mark.slow
def test_a_server_answers_as_predict_does_and_ends_in_time(folder, tmp_path):
  expected = _predicted(folder, tmp_path)
  served = _Served(
    folder,
    "--slots=2",
    "--prompt_tokens=256",  # fewer shapes to compile
    "--benchmark",
    "--limit=drain_seconds=0",
  )
  try:
    _check_answers(served.url, folder, expected)
    _check_end(served, folder)
  finally:
    served.process.kill()


def _check_answers(url, folder, expected):
  with openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
    asked = {
      "model": "crab:ave",
      "messages": [_message(folder)],
      "max_tokens": _NEW,
    }
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].message.content.strip() == expected["ave"]
    stream = client.chat.completions.create(**asked, stream=True)
    parts = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(parts).strip() == expected["ave"]
  files = {
    "video": ("clip.mp4", (folder / "clip.mp4").read_bytes()),
    "audio": ("a.wav", (folder / "a.wav").read_bytes()),
  }
  reply = httpx.post(
    f"{url}/v1/clips",
    files=files,
    data={"tasks": ",".join(_TASKS), "max_tokens": str(_NEW)},
    timeout=120,
  ).json()
  said = {one["task"]: one["content"].strip() for one in reply["answers"]}
  assert said == expected
  details = [one["usage"]["prompt_tokens_details"] for one in reply["answers"]]
  # Tasks with the same media read them once; the chat has read them for ave.
  cached = [one["cached_tokens"] > 0 for one in details]
  assert cached == [True, True, True, False]
  metrics = httpx.get(f"{url}/metrics").text
  assert "crab_compilations_total 0.0" in metrics
  assert re.search(r"crab_prefill_seconds_count{.*} [1-9]", metrics)
  arguments = {"model": "crab:ks", "messages": [_message(folder)]}
  arguments |= {"max_tokens": 4, "crab": {"gates": True}}
  chat = httpx.post(
    f"{url}/v1/chat/completions", json=arguments, timeout=120
  ).json()
  said = chat["choices"][0]["message"]["crab"]
  assert len(said["gates"]["answer"][0]) == 1 + 2  # two heads
  silent = httpx.post(
    f"{url}/v1/clips", files={"video": files["video"]}, data={"tasks": "ave"}
  )
  assert silent.status_code == 400
  assert silent.json()["error"]["code"] == "no_audio"


def _check_end(served, folder):
  """SIGTERM with sixteen streams: all of them end, and so does the process."""
  body = {
    "model": "crab:ave",
    "messages": [_message(folder)],
    "max_tokens": 512,  # none has ended when the last one is sent
    "ignore_eos": True,
    "stream": True,
  }

  def stream():
    url = f"{served.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, timeout=60) as reply:
      # 503: it had no token yet when the server was stopped.
      assert reply.status_code in (200, 503), reply.read()
      return reply.read().decode()

  with concurrent.futures.ThreadPoolExecutor(16) as threads:
    streams = [threads.submit(stream) for _ in range(16)]
    begun = time.monotonic()
    while _running(served) < 16:
      assert time.monotonic() - begun < 30, "not all were received at once"
      time.sleep(0.01)
    begun = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    ends = [one.result(30) for one in streams]
  assert served.process.wait(30) == 0
  assert time.monotonic() - begun < 15
  cut = [text for text in ends if not text.endswith("data: [DONE]\n\n")]
  assert cut
  assert all('"code": "draining"' in text for text in cut)


def _running(served):
  text = httpx.get(f"{served.url}/metrics").text
  return float(re.search(r'queue_depth{stage="received"} (\S+)', text)[1])
