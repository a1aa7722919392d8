"""Calls a command many times in one process: its imports take seconds."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_SCRIPT = """
import contextlib, importlib, io, json, sys
from absl import flags
from crab_jax import cli
command, out, calls = sys.argv[1:]
command = importlib.import_module(command)
found = []
for arguments in json.loads(calls):
  flags.FLAGS.unparse_flags()
  sys.argv = [command.__name__, *arguments]
  with contextlib.redirect_stderr(io.StringIO()) as said:
    try:
      cli.run(command.main)
    except SystemExit as end:
      code = end.code
  found.append([code, said.getvalue()])
open(out, "w").write(json.dumps(found))
"""


@dataclasses.dataclass(frozen=True)
class Call:
  """How a call ended."""

  code: int | None
  stderr: str


def call(
  command: str,
  calls: list[tuple[str, ...]],
  folder: pathlib.Path,
  devices: int = 1,
) -> list[Call]:
  """How a command ends for each list of arguments.

  Args:
    command: its module, e.g. "crab_jax.train".
    calls: arguments, one call after the other.
    folder: the working directory; must be empty, and is so afterwards unless a
      call writes there.
    devices: that the processor stands for.
  """
  flags = f"--xla_force_host_platform_device_count={devices}"
  out = folder.with_name(folder.name + ".calls.json")
  done = subprocess.run(
    [sys.executable, "-c", _SCRIPT, command, str(out), json.dumps(calls)],
    cwd=folder,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": flags if devices > 1 else "",
      "PYTHONPATH": str(_ROOT),
    },
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return [Call(*found) for found in json.loads(out.read_text())]
