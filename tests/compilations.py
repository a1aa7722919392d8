"""What commands compile in processes of their own: shared, or counted."""

import dataclasses
import os
import pathlib
import subprocess
import sys

# Lets the trainings that tests start share their programs: most are of the same
# small model.
SHARED = {
  "JAX_COMPILATION_CACHE_DIR": f"{os.environ['XDG_CACHE_HOME']}/trainings",
  "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
}
_ROOT = pathlib.Path(__file__).resolve().parents[1]
_SCRIPT = """
import collections, importlib, sys
import jax
from crab_jax import cli
command = importlib.import_module(sys.argv[1])
sys.argv = sys.argv[1:]
seen = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **_: seen.update([name]))
jax.monitoring.register_event_duration_secs_listener(
  lambda name, seconds, **_: seen.update([name])
)
try:
  cli.run(command.main)
finally:
  programs = seen["/jax/core/compile/backend_compile_duration"]
  print("PROGRAMS", programs, seen["/jax/compilation_cache/cache_hits"])
"""


@dataclasses.dataclass(frozen=True)
class Counted:
  """How a command ended.

  Attributes:
    code: its exit code.
    stderr: what it said.
    programs: that it ran.
    compiled: of them, those that it did not find compiled.
  """

  code: int
  stderr: str
  programs: int
  compiled: int


def together(
  command: str, calls: list[list[str]], cache: pathlib.Path
) -> list[Counted]:
  """Runs a command several times at once.

  Args:
    command: its module, e.g. "crab_jax.predict".
    calls: the arguments of each process.
    cache: what the user's cache folder is.
  """
  environment = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "",
    "PYTHONPATH": str(_ROOT),
    "XDG_CACHE_HOME": str(cache),
  }
  environment.pop("JAX_COMPILATION_CACHE_DIR", None)
  begun = [
    subprocess.Popen(
      [sys.executable, "-c", _SCRIPT, command, *arguments],
      cwd=_ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for arguments in calls
  ]
  return [_counted(process) for process in begun]


def _counted(process: subprocess.Popen) -> Counted:
  said, stderr = process.communicate(timeout=600)
  name, programs, hits = said.splitlines()[-1].split()
  assert name == "PROGRAMS", said
  found = int(programs), int(programs) - int(hits)
  return Counted(process.returncode, stderr, *found)
