"""All of launch/: the scripts are sound, the instructions run."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

_LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"
_SCRIPTS = sorted(_LAUNCH.glob("*.sh"))


@pytest.mark.parametrize("path", _SCRIPTS, ids=lambda path: path.name)
def test_bash_can_parse_it(path):
  subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.mark.parametrize("path", _SCRIPTS, ids=lambda path: path.name)
def test_it_stops_at_errors_and_can_be_executed(path):
  text = path.read_text()
  if text.startswith("# shellcheck shell=bash"):
    return  # a library
  assert text.startswith("#!/usr/bin/env bash\n")
  assert "\nset -euo pipefail\n" in text
  assert os.access(path, os.X_OK)


def test_shellcheck_finds_nothing():
  if shutil.which("shellcheck") is None:
    pytest.skip("shellcheck is not installed (Debian package shellcheck)")
  done = subprocess.run(
    ["shellcheck", "--external-sources", *map(str, _SCRIPTS)],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout


def _instructions(name: str) -> list[str]:
  """The commands of a document's bash blocks, continued lines joined."""
  text = (_LAUNCH / name).read_text()
  blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
  lines = "".join(blocks).replace("\\\n", " ").splitlines()
  return [line for line in lines if line.startswith("launch/")]


def test_the_instructions_run_dry(cloud):
  commands = _instructions("README.md")
  assert {shlex.split(line)[0] for line in commands} == {
    "launch/tpu_vm.sh",
    "launch/queued_resource.sh",
    "launch/compute_engine.sh",
    "launch/gke_jobset.py",
  }
  for line in commands:
    script, *words = shlex.split(line, comments=True)
    end = words.index("--") if "--" in words else len(words)
    words.insert(end, "--dry_run")
    done = cloud.run(script.partition("/")[2], *words)
    assert done.returncode == 0, (line, done.stderr)
  assert cloud.calls() == []


def test_the_first_hour_runs_dry():
  commands = _instructions("FIRST_HOUR.md")
  assert len(commands) == 4
  for line in commands:
    script, *words = shlex.split(line, comments=True)
    done = subprocess.run(
      [sys.executable, script, *words, "--dry_run"],
      cwd=_LAUNCH.parent,
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, (line, done.stderr)


def test_every_file_is_in_the_instructions():
  text = (_LAUNCH / "README.md").read_text()
  for path in _LAUNCH.iterdir():
    if path.name not in ("README.md", "__pycache__"):
      assert f"`{path.name}`" in text, path.name
