"""launch/first_hour.py: its steps, dry and with small files of the true names."""

import hashlib
import http.server
import io
import json
import os
import pathlib
import shlex
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from crab_jax import files
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.data import tasks
from crab_jax.experiment import conversion
from tests import documents_test
from tests import model_folders
from tests.annotation import sources
from tests.data import clips
from tests.models import random_parameters

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_STEPS = [
  *("fetch", "check", "base", "adapter", "inspect", "clip", "rows", "plan"),
  *("prepare", "train"),
]
_ALL = "--fetch=annotations,adapter,base"
_TASKS = ("ave", "s4")


def _run(folder: pathlib.Path, *arguments: str, **environment: str):
  """Runs the script in a folder that has the checkout's gin/."""
  ours = {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(_ROOT)}
  # The programs run once.
  ours["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
  return subprocess.run(
    [sys.executable, str(_ROOT / "launch/first_hour.py"), *arguments],
    cwd=folder,
    env={**os.environ, **ours, **environment},
    capture_output=True,
    text=True,
  )


@pytest.fixture
def folder(tmp_path):
  (tmp_path / "gin").symlink_to(_ROOT / "gin")
  return tmp_path


def _commands(text: str) -> list[list[str]]:
  return [
    shlex.split(line[2:]) for line in text.splitlines() if line[:2] == "$ "
  ]


def test_a_dry_run_tells_all_steps_and_does_nothing(folder):
  done = _run(folder, "--slice=v5e_16", "--dry_run", _ALL)
  assert done.returncode == 0, done.stderr
  heads = [x for x in done.stdout.splitlines() if x.startswith("== ")]
  assert [head.split()[2].rstrip(":") for head in heads] == _STEPS
  for what in ("size", "time", "memory"):
    assert done.stdout.count(f"\n{what:<8}") == len(_STEPS)
  assert [path.name for path in folder.iterdir()] == ["gin"]


@pytest.mark.parametrize("size", ["7b", "3b"])
def test_its_commands_have_the_flags_that_it_gives(folder, size):
  flags = ("--slice=v6e_1", f"--size={size}", "--dry_run")
  done = _run(folder, *flags, "--tasks=ave,ks", "--gin_param=ILora.rank=32")
  found = [x for x in _commands(done.stdout) if x[:2] == ["python", "-m"]]
  used = [words[2].removeprefix("crab_jax.") for words in found]
  assert {"prepare", "convert", "predict", "evaluate", "plan", "train"} == {
    *used
  }
  for command, words in zip(used, found, strict=True):
    for word in words[3:]:
      if word.startswith("--"):
        assert documents_test.fault_of(command, word) is None


def test_it_downloads_what_it_is_told_to_and_no_more(folder):
  flags = ("--slice=v5e_16", "--dry_run")
  for name, wanted in (
    ("annotations", {"AVUIE_2.zip"}),
    ("adapter", {"finetune_weights.bin"}),
    ("base", {"--source=Qwen/Qwen2.5-Omni-7B"}),
    ("", set()),
  ):
    found = _commands(_run(folder, *flags, f"--fetch={name}").stdout)
    named = {
      word
      for words in found
      for word in words
      if words[0] == "hf" or "convert" in words[2]
    }
    every = {
      *("AVUIE_2.zip", "finetune_weights.bin"),
      "--source=Qwen/Qwen2.5-Omni-7B",
    }
    assert named & every == wanted


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    ((), "--slice"),
    (("--slice=v5e_17",), "gin/mesh/v5e_17.gin"),
    (("--slice=v5e_16", "--steps=chekc"), "'chekc'"),
    (("--slice=v5e_16", "--fetch=all"), "'all'"),
    (("--slice=v5e_16", "--source=gs://b/AVUIE_2"), "gs://b/AVUIE_2"),
    (("--slice=v5e_16", "--fetch=adapter", "--adapter=a.bin"), "finetune_w"),
    (("--slice=v5e_16",), "--fetch=annotations"),
    (("--slice=v5e_16", "--steps=base"), "--fetch=base"),
    (("--slice=v5e_16", "--steps=clip"), "the step base"),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_2(folder, arguments, named):
  done = _run(folder, *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert named in done.stderr


def _write_source(folder: pathlib.Path) -> None:
  """AVUIE_2 with a train and a test row of some sets."""
  media = folder / "media"
  sources.write_media(media, 2)
  for i in range(2):
    # Larger than the grid of coordinates, as those of the sets.
    picture = np.full((240, 320, 3), 20 * i, np.uint8)
    clips.write_image(media / f"p{i}.png", picture)
  mask = np.zeros((240, 320), np.uint8)
  mask[10:30, 20:50] = 255
  clips.write_image(media / "m.png", mask)
  found, faults = schema.parse(
    [
      (f"line {i}", {**sources.row(name, i), "split": split})
      for name in _TASKS
      for i, split in enumerate(("train", "test"))
    ],
    tasks.Tasks(),
  )
  assert not faults
  settings = settings_lib.Settings(allow_overlap=True)
  inputs = run.Inputs(
    found, [], media, folder / "AVUIE_2", tasks.Tasks(), settings
  )
  run.annotate(inputs, lambda text: None)


def _write_weights(folder: pathlib.Path) -> None:
  """A small base as transformers lays it out, and its official adapter."""
  config = model_folders.released()
  params = random_parameters.draw(config)
  model_folders.save_model(folder / "made/model", params, config)
  model_folders.save_adapter(folder / "made/adapter", params, config=config)
  weights = folder / "weights"
  weights.mkdir()
  conversion.export_base(
    files.path(folder / "made/model"), weights / "Qwen2.5-Omni-7B"
  )
  conversion.export_adapter(
    files.path(folder / "made/adapter"), weights / "finetune_weights.bin", None
  )


class _Hub(http.server.BaseHTTPRequestHandler):
  """The hub, as far as a download of one file asks it."""

  def do_HEAD(self):  # noqa: N802, the library's name
    self._answer(None)

  def do_GET(self):  # noqa: N802
    self._answer(self.server.files)

  def _answer(self, served: dict[str, bytes] | None) -> None:
    name = self.path.rpartition("/")[2]
    folder = "/datasets/Jayson236/Crab_Plus/resolve/main"
    known = self.path.startswith(folder) and name in self.server.files
    data = self.server.files[name] if known else b""
    self.send_response(200 if known else 404)
    self.send_header("Content-Length", str(len(data)))
    self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
    self.send_header("X-Repo-Commit", "0" * 40)
    self.end_headers()
    if served is not None:
      self.wfile.write(data)

  def log_message(self, format, *arguments):
    pass


@pytest.fixture
def hub():
  """(files by name, address) of a hub on this machine."""
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
    server.files = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.files, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.mark.slow
def test_what_is_named_is_fetched_once(folder, hub):
  served, address = hub
  packed = io.BytesIO()
  with zipfile.ZipFile(packed, "w") as archive:
    archive.writestr("AVUIE_2/ave/test.json", "[]")
  served["AVUIE_2.zip"] = packed.getvalue()
  served["finetune_weights.bin"] = b"weights"
  flags = ("--slice=v5e_16", "--steps=fetch", "--fetch=annotations,adapter")
  environment = {"HF_ENDPOINT": address, "HF_HOME": str(folder / "hub")}
  done = _run(folder, *flags, **environment)
  assert done.returncode == 0, done.stdout + done.stderr
  assert (folder / "AVUIE_2/AVUIE_2/ave/test.json").read_text() == "[]"
  adapter = folder / "weights/finetune_weights.bin"
  assert adapter.read_bytes() == b"weights"
  served.clear()  # it is not asked again
  assert _run(folder, *flags, **environment).returncode == 0
  adapter.unlink()
  assert _run(folder, *flags, **environment).returncode == 1
  assert not adapter.exists()


@pytest.mark.slow
def test_it_runs_with_small_files_of_the_true_layout(folder):
  """All that answers; the plan is of the true shapes, and takes minutes."""
  _write_source(folder)
  _write_weights(folder)
  steps = _STEPS[: _STEPS.index("plan")]
  flags = (
    *("--slice=v5e_16", f"--steps={','.join(steps)}"),
    *("--gin_param=Evaluation.max_new_tokens=4", "--accept_doubts"),
  )
  done = _run(folder, *flags)
  assert done.returncode == 0, done.stdout[-3000:] + done.stderr
  log = (folder / "runs/first_hour/first_hour.log").read_text()
  assert log == done.stdout
  assert "largest |B| of each head" in log
  assert "nothing; --fetch names" in log
  answers = json.loads(
    (folder / "runs/first_hour/clip/answers.json").read_text()
  )
  assert [answer["task"] for answer in answers] == ["ave"]
  report = folder / "runs/first_hour/rows/eval"
  assert (report / "report.html").is_file()
  assert {path.stem for path in (report / "predictions").iterdir()} >= {*_TASKS}
  assert log.count("GiB of memory") == len(_commands(log)) == 8
  again = _run(folder, "--slice=v5e_16", "--steps=base,adapter,clip,rows")
  assert again.returncode == 0
  assert again.stdout.count("not done again") == 4
