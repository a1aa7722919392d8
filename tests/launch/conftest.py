"""A cloud that is none: a fake gcloud on the PATH, and hosts that are folders."""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

import pytest

_HERE = pathlib.Path(__file__).resolve().parent
_LAUNCH = _HERE.parents[1] / "launch"
_PATIENCE = 300  # seconds, on a machine with much else to do

# `python3` of a host: accepts the install, and makes an environment whose
# `python` notes its arguments, then behaves as a line of `trainings` says:
# finish, hang (until SIGTERM, as training does), or exit CODE. Which line: the
# number of its start, or of the slice where that is more.
_HOST_PYTHON = r"""#!/bin/bash
if [[ "$2 $3" == "uv venv" ]]; then
  mkdir -p "${@: -1}/bin" && cp "$FAKE_CLOUD/host_bin/train" "${@: -1}/bin/python"
fi
"""
_TRAINING = r"""#!/bin/bash
printf '%s\0' "$@" >>"$HOME/../../arguments-${HOME##*/}"
echo start >>"$FAKE_CLOUD/starts-${HOME##*/}"
count=$(wc -l <"$FAKE_CLOUD/starts-${HOME##*/}")
lives=$(cat "$FAKE_CLOUD/lives" 2>/dev/null || echo 1)
((count >= lives)) || count=$lives
behaviour=$(head -n "$count" "$FAKE_CLOUD/trainings" | tail -n 1)
echo "a training that will $behaviour"
case $behaviour in
  finish) exit 0 ;;
  hang) trap 'kill $!; exit 0' TERM; sleep 600 & wait ;;
  *) $behaviour ;;
esac
"""


class Cloud:
  """The scripts in a checkout of their own, before a scripted cloud.

  A scenario may hold:
    hosts: how many a slice has.
    states: for each request one list, the answers to `describe` in turn; the
      last answer, and the last list, stay.
    failures: regular expression over a call -> (exit code, message).
    trainings: what the training does, see _TRAINING; the last stays.
  """

  def __init__(self, root: pathlib.Path):
    self.root = root / "cloud"
    self.checkout = root / "check out"
    for folder in ("bin", "host_bin"):
      (self.root / folder).mkdir(parents=True)
    shutil.copytree(_LAUNCH, self.checkout / "launch")
    git = ["git", "-C", str(self.checkout), "init", "--quiet"]
    subprocess.run(git, check=True)
    fake = (
      f'#!/bin/sh\nexec "{sys.executable}" -S "{_HERE}/fake_gcloud.py" "$@"\n'
    )
    self._program("bin/gcloud", fake)
    self._program("host_bin/python3", _HOST_PYTHON)
    self._program("host_bin/train", _TRAINING)
    self.environment = {
      "PATH": f"{self.root}/bin:{os.environ['PATH']}",
      "HOME": str(root),
      "FAKE_CLOUD": str(self.root),
    }
    self.scenario()

  def _program(self, name: str, text: str) -> None:
    path = self.root / name
    path.write_text(text)
    path.chmod(0o755)

  def scenario(
    self, hosts=2, states=(("ACTIVE",),), failures=None, trainings=("finish",)
  ) -> None:
    (self.root / "trainings").write_text("\n".join(trainings) + "\n")
    self.root.joinpath("scenario.json").write_text(
      json.dumps(
        {
          "hosts": hosts,
          "states": states,
          "failures": failures or {},
          "host_path": f"{self.root}/host_bin:/usr/bin:/bin",
        }
      )
    )

  def run(self, script: str, *arguments: str, **environment: str):
    """Runs `launch/SCRIPT ARGUMENTS...` to its end."""
    return subprocess.run(
      [str(self.checkout / "launch" / script), *arguments],
      env={**self.environment, **environment},
      capture_output=True,
      text=True,
      timeout=_PATIENCE,
    )

  def calls(self) -> list[list[str]]:
    """The arguments of every gcloud call, `compute tpus` left out."""
    path = self.root / "calls.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [_after_tpus(json.loads(line)) for line in lines]

  def verbs(self) -> list[str]:
    return [" ".join(call[:2]) for call in self.calls()]

  def arguments(self, host: int = 0) -> list[str]:
    """The words that all trainings of a host got, one after another."""
    text = (self.root / f"arguments-{host}").read_text()
    return text.split("\0")[:-1]

  def starts(self, host: int = 0) -> int:
    path = self.root / f"starts-{host}"
    return len(path.read_text().split()) if path.exists() else 0


def _after_tpus(words: list[str]) -> list[str]:
  """The words after `compute tpus`, or after `compute`."""
  last = "tpus" if "tpus" in words else "compute"
  return words[words.index(last) + 1 :]


def printed_calls(text: str) -> list[list[str]]:
  """The gcloud commands that a dry run printed, as `Cloud.calls` gives them."""
  lexer = shlex.shlex(text, posix=True, punctuation_chars="\n")
  lexer.whitespace, lexer.whitespace_split, lexer.commenters = " ", True, "#"
  commands, words = [], []
  for token in [*lexer, "\n"]:
    if set(token) == {"\n"}:
      commands.append(words)
      words = []
    else:
      words.append(token)
  return [_after_tpus(words) for words in commands if words[:1] == ["gcloud"]]


@pytest.fixture
def cloud(tmp_path):
  made = Cloud(tmp_path)
  yield made
  made.scenario()
  subprocess.run(  # whatever still runs on its hosts
    [made.root / "bin/gcloud", "compute", "tpus", "tpu-vm", "delete"],
    env=made.environment,
    check=True,
  )


@pytest.fixture
def printed():
  return printed_calls


def _wait_until(condition, seconds: float = _PATIENCE) -> None:
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, "waited in vain"
    time.sleep(0.05)


@pytest.fixture
def wait_until():
  """Waits until a condition without arguments is true, else fails."""
  return _wait_until
