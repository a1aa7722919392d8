"""Our own server as the teacher: what it is sent, and what becomes of answers."""

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import httpx
import pytest

from crab_jax import errors
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation.teaching import teacher
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.serving import interface
from tests import model_folders
from tests.annotation import sources
from tests.annotation import stub_teacher
from tests.models import random_parameters
from tests.serving import conftest
from tests.serving import doubles

_ROOT = pathlib.Path(__file__).resolve().parents[3]
# Video, faces, events, a question, a picture, two videos, two sounds.
_NAMES = ("ks", "meld", "ave", "avqa", "arig", "a2v", "v2a")


class _Engine(doubles.Engine):
  """Says what a script says of a prompt."""

  limits = property(
    lambda self: interface.Limits(2, samples.Lengths(8000, 20, 40), 400, 8)
  )

  def __init__(self, model, say):
    super().__init__(model, tokens=400)
    self._say = say
    self.prompts = []

  def text(self, job):
    prompt = self._tokenizer.decode(job.sample["tokens"].tolist())
    self.prompts.append(prompt)
    return self._say(prompt)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
  folder = tmp_path_factory.mktemp("media")
  sources.write_media(folder, 3)
  return folder


@pytest.fixture(scope="module")
def model():
  return doubles.model()


def _annotate(media, out, url, fallback="human"):
  """What comes of a run with a server as the teacher."""
  lines = [
    (f"line {i}", {**sources.row(name, i % 2), "split": "train"})
    for i, name in enumerate(_NAMES)
  ]
  found, faults = schema.parse(lines, tasks.Tasks())
  assert not faults
  return run.annotate(
    run.Inputs(
      found, faults, media, out, tasks.Tasks(),
      settings_lib.Settings(writer="teacher"),
      settings_lib.Teaching(
        f"{url}/v1", "crab", fallback=fallback, attempts=2
      ),
      settings_lib.Transport(timeout=60.0, workers=2),
    ),
    lambda text: None,
  )  # fmt: skip


def _asked(media, out, model, say, fallback="human"):
  """The same with our server over an engine that says what it is told."""
  engine = _Engine(model, say)
  server = conftest.Listening(out / "store", model, engine=engine)
  try:
    return _annotate(media, out / "out", server.url, fallback), engine
  finally:
    server.close()


def _say(reasoning):
  """Answers of the probe, and one text for all rows."""
  return lambda prompt: (
    stub_teacher.fields("")
    if "What colour is the picture" in prompt
    else reasoning
  )


def test_every_request_is_well_formed(media, tmp_path, model):
  good = _say(stub_teacher.fields(stub_teacher.GOOD))
  summary, engine = _asked(media, tmp_path, model, good)
  assert sum(sum(n.values()) for n in summary["tasks"].values()) == len(_NAMES)
  assert len(engine.jobs) == 1 + len(_NAMES)
  for job in engine.jobs:
    assert len(job.sample["frames"]) > 0
    assert len(job.sample["mel"]) > 0
    assert job.decoding.max_new_tokens <= 400
  probe, *rows = engine.prompts
  assert "Reply with JSON alone" in probe
  # The server knows no schema, as its answer to the probe has told.
  assert all("Reply with five lines" in prompt for prompt in rows)


_BAD = {
  "reply": "ave 3 3 3 the the",
  "length": stub_teacher.fields("It is so."),
  "told": stub_teacher.fields(f"The label says it. {stub_teacher.GOOD}"),
  "marks": stub_teacher.fields(f"<answer>x</answer> {stub_teacher.GOOD}"),
}


def test_bad_answers_fall_back_and_are_counted(media, tmp_path, model):
  bad = itertools.cycle(_BAD.values())
  summary, engine = _asked(
    media, tmp_path, model, lambda prompt: _say(next(bad))(prompt), "template"
  )
  assert sum(sum(n.values()) for n in summary["tasks"].values()) == len(_NAMES)
  # The probe, and two attempts of each row.
  assert len(engine.jobs) == 1 + 2 * len(_NAMES)
  report = json.loads((tmp_path / "out" / "report.json").read_text())
  counted = collections.Counter()
  for task in report["tasks"].values():
    assert task["writers"] == {"template": 1}
    counted.update(task["asked_again"])
  assert all(counted[code] >= 3 for code in _BAD)


def test_a_model_that_does_not_perceive_is_refused(media, tmp_path, model):
  with pytest.raises(errors.UserError, match="crab at http.* does not see: of"):
    _asked(media, tmp_path, model, lambda prompt: _BAD["reply"])


@pytest.mark.slow
def test_the_command_serve_with_a_model_of_random_weights(
  media, tmp_path, monkeypatch
):
  """It is refused as it sees nothing; with no probe, templates stand in."""
  config = dataclasses.replace(
    model_folders.CONFIG,
    decoder=dataclasses.replace(model_folders.CONFIG.decoder, context=8192),
  )
  params = random_parameters.draw(config)
  model_folders.save_model(tmp_path / "model", params, config)
  process = subprocess.Popen(
    [
      sys.executable, "-m", "crab_jax.serve", "--port=0", "--slots=2",
      f"--checkpoint={tmp_path / 'model'}", "--prompt_tokens=6000",
      "--new_tokens=400",
    ],
    cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    env={**os.environ, "XLA_FLAGS": "", "PYTHONPATH": str(_ROOT)},
  )  # fmt: skip
  try:
    url = re.search(r"http://[^/\s]+", process.stdout.readline())[0]
    _wait_until_ready(url)
    with pytest.raises(errors.UserError, match="does not see: of a red"):
      _annotate(media, tmp_path / "out", url)
    monkeypatch.setattr(teacher.Teacher, "probe", lambda self: None)
    summary = _annotate(media, tmp_path / "out", url, "template")
  finally:
    process.kill()
    process.wait()
  assert sum(sum(n.values()) for n in summary["tasks"].values()) == len(_NAMES)
  report = json.loads((tmp_path / "out" / "report.json").read_text())
  for task in report["tasks"].values():
    assert task["writers"] == {"template": 1}
    assert sum(task["asked_again"].values()) == 2


def _wait_until_ready(url):
  for _ in range(1200):
    with contextlib.suppress(httpx.TransportError):
      if httpx.get(f"{url}/health").status_code == 200:
        return
    time.sleep(0.1)
  raise AssertionError("it never was ready")
