"""What holds for every command: quick help, quick mistakes, own flags first.

Importing jax takes seconds, so a command does it only after its flags.
"""

import os
import pathlib
import re
import resource
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_COMMANDS = sorted(
  path.stem
  for path in (_ROOT / "crab_jax").glob("*.py")
  if 'if __name__ == "__main__":' in path.read_text()
)
_WITH_TASKS = {
  "annotate",
  "prepare",
  "train",
  "evaluate",
  "predict",
  "serve",
  "transfer",
}
_WITH_CACHE = {"evaluate", "predict", "serve"}
_CONFIGURED = {"bench", "evaluate", "plan", "train", "transfer"}
# Processor time, as the machine may be busy; help takes about 0.3 s.
_SECONDS = 2.0
_SLOW = ("jax", "numpy", "matplotlib", "tensorflow_datasets")
_SCRIPT = f"""
import runpy, sys
name = sys.argv[1]
sys.argv = [name, *sys.argv[2:]]
try:
  runpy.run_module("crab_jax." + name, run_name="__main__", alter_sys=True)
finally:
  loaded = sorted(set({_SLOW}) & set(sys.modules))
  print("LOADED", *loaded, file=sys.stderr)
"""


def _run(command, *arguments):
  """The result of a command, what slow it imported, its processor seconds."""
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  done = subprocess.run(
    [sys.executable, "-c", _SCRIPT, command, *arguments],
    cwd=_ROOT,
    # huge_pages.restart() does nothing where the variable is set.
    env={**os.environ, "GLIBC_TUNABLES": ""},
    capture_output=True,
    text=True,
  )
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  said, _, loaded = done.stderr.rpartition("LOADED")
  seconds = sum(
    getattr(after, name) - getattr(before, name)
    for name in ("ru_utime", "ru_stime")
  )
  return done.returncode, done.stdout, said, loaded.split(), seconds


def _own_flags(command):
  """Names of the flags in the order in which the command's file defines them."""
  text = (_ROOT / "crab_jax" / f"{command}.py").read_text()
  return re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', text)


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_is_quick_and_shows_own_flags_first(command):
  code, out, said, loaded, seconds = _run(command, "--help")
  assert (code, said, loaded) == (0, "", [])
  assert seconds < _SECONDS
  own = _own_flags(command)
  assert len(own) > 1
  shared = ["gin_file", "gin_param"] if command in _CONFIGURED else []
  shared += ["task_file"] if command in _WITH_TASKS else []
  shared += ["compiled"] if command in _WITH_CACHE else []
  shown = re.findall(r"^  --(?:\[no\])?(\w+)$", out, re.M)
  assert shown == [*own, *shared]
  assert f"python -m crab_jax.{command} " in out.partition("flags:")[0]


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_misspelt_flag_is_a_quick_line(command):
  code, out, said, loaded, seconds = _run(command, "--wrokdir=x")
  assert (code, out, loaded) == (2, "", [])
  assert said.count("\n") == 1
  assert "wrokdir" in said
  assert seconds < _SECONDS


@pytest.mark.parametrize("command", sorted(_CONFIGURED))
def test_a_misspelt_setting_is_a_quick_line(command):
  arguments = ["--gin_file=gin/base.gin", "--gin_param=Rows.token=3"]
  if command == "evaluate":
    arguments += ["--checkpoint=a", "--data=b", "--out=c"]
  code, out, said, loaded, seconds = _run(command, *arguments)
  assert (code, out, loaded) == (2, "", [])
  assert "token" in said
  assert said.count("\n") == 1
  assert seconds < _SECONDS
