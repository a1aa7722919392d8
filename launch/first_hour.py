#!/usr/bin/env python3
"""The first hour with the released files, step by step.

  first_hour.py --slice=v5e_16 [--size=7b] [--dry_run]

Every step says what to expect, shows its commands, runs them, and says what they
took; all of it goes to WORK/first_hour.log too. A step whose result is there is
not done again. Nothing is downloaded unless --fetch names it: annotations,
adapter, base. `prepare` and `train`, which take hours, run only when --steps
names them. FIRST_HOUR.md explains the steps. To be run at the root of a checkout.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import textwrap
import time

import first_hour_steps as steps


class _Parser(argparse.ArgumentParser):
  """A parser whose errors are one line."""

  def error(self, message: str):
    _fail(f"{message} (see --help)")


def _fail(message: str):
  print(f"error: {message}", file=sys.stderr)
  sys.exit(2)


def _names(known: tuple[str, ...]):
  """A parser of known names separated by commas."""

  def parse(text: str) -> tuple[str, ...]:
    found = tuple(name for name in text.split(",") if name)
    for name in found:
      if name not in known:
        raise argparse.ArgumentTypeError(
          f"{name!r} is none of {', '.join(known)}"
        )
    return found

  return parse


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = _Parser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  every = tuple(steps.STEPS)
  add("--slice", required=True, help="a file of gin/mesh, such as v5e_16")
  add("--size", choices=tuple(steps.BASE_GIB), default="7b", help="of the base")
  add(
    "--fetch", type=_names(steps.FETCHED), default=(), help="what to download"
  )
  add("--steps", type=_names(every), default=(), help=", ".join(every))
  add("--source", default="AVUIE_2", help="annotations and media")
  add("--tasks", default="", help="datasets by commas (default: all there are)")
  add("--weights", default="weights", help="folder of converted weights")
  add("--base", help="default: Qwen2.5-Omni-7B, or -3B, in --weights")
  add("--adapter", help="default: the official file in --weights; of 3b none")
  add("--clip", help="a video with sound (default: one of a test set)")
  add("--records", default="records", help="folder that prepare writes")
  add("--work", default="runs/first_hour", help="folder of all else")
  add("--workdir", default="runs/crab_plus", help="of train, for all hosts")
  add("--gin_param", action="append", default=[], help="a setting, as of train")
  add("--accept_doubts", action="store_true", help="go on after check")
  add("--dry_run", action="store_true", help="only show it")
  return parser.parse_args(argv)


def _flags(argv: list[str]) -> argparse.Namespace:
  """The flags with their defaults, checked."""
  flags = _parse(argv)
  if "://" in flags.source:
    _fail(f"--source={flags.source}: media are linked, so mount the bucket")
  if not pathlib.Path(f"gin/mesh/{flags.slice}.gin").is_file():
    _fail(f"no gin/mesh/{flags.slice}.gin here: run it at a checkout's root")
  for name in ("source", "weights", "work"):
    setattr(flags, name, pathlib.Path(getattr(flags, name)))
  flags.base = flags.base or str(
    flags.weights / f"Qwen2.5-Omni-{flags.size.upper()}"
  )
  if flags.adapter is None:
    # The published file is for the 7B.
    official = str(flags.weights / steps.ADAPTER)
    flags.adapter = official if flags.size == "7b" else "none"
  if "adapter" in flags.fetch and (
    pathlib.Path(flags.adapter).name != steps.ADAPTER
  ):
    _fail(f"--fetch=adapter: --adapter must end in {steps.ADAPTER}")
  return flags


class _Log:
  """Says things on stdout and, unless its path is None, in a file."""

  def __init__(self, path: pathlib.Path | None):
    if path is not None:
      path.parent.mkdir(parents=True, exist_ok=True)
    self._file = path and path.open("ab")

  def write(self, data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    if self._file:
      self._file.write(data)
      self._file.flush()

  def say(self, text: str) -> None:
    self.write(text.encode() + b"\n")


def _introduce(number: int, name: str, step: steps.Step, log: _Log) -> None:
  """Says what a step does and what to expect of it."""
  log.say(f"\n== {number}. {name}: {step.title}")
  for what in ("size", "time", "memory"):
    text = f"{what:<8}{getattr(step, what)}"
    log.say(
      textwrap.fill(
        text,
        80,
        subsequent_indent=" " * 8,
        break_long_words=False,
        break_on_hyphens=False,
      )
    )


def _show(step: steps.Step, log: _Log) -> None:
  """Says what a step would do."""
  if step.before:
    log.say(f"# {step.before[1]}")
  for command in step.commands:
    log.say(f"$ {shlex.join(command)}")


def _program(command: list[str]) -> list[str]:
  """A command with this interpreter, or with the program that lies beside it."""
  if command[0] == "python":
    return [sys.executable, *command[1:]]
  beside = pathlib.Path(sys.executable).parent / command[0]
  found = str(beside) if beside.is_file() else shutil.which(command[0])
  if found is None:
    _fail(f"no program {command[0]}: pip install --upgrade huggingface_hub")
  return [found, *command[1:]]


def _run(command: list[str], log: _Log) -> int:
  """Runs a command, says its time and memory, gives its exit code."""
  start = time.monotonic()
  process = subprocess.Popen(
    _program(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
  )
  assert process.stdout is not None
  # Not line by line: a progress bar ends none.
  while data := os.read(process.stdout.fileno(), 1 << 16):
    log.write(data)
  _, status, usage = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
  log.say(
    f"took {time.monotonic() - start:.0f} s, and a process at most"
    f" {usage.ru_maxrss * unit / 2**30:.2f} GiB of memory"
  )
  return process.returncode


def _bytes(path: pathlib.Path) -> int:
  """Of a file, or of all files in a folder."""
  files = [path] if path.is_file() else path.rglob("*")
  return sum(file.stat().st_size for file in files if file.is_file())


def _do(step: steps.Step, log: _Log) -> int:
  """Runs a step; the exit code to end with, 0 to go on."""
  if step.made is not None and step.made.exists():
    log.say(f"{step.made} is there: not done again (remove it if it shall be)")
    return 0
  for path, advice in step.needs.items():
    if not path.exists():
      _fail(f"{path} is not there: {advice}")
  if step.before:
    step.before[0]()
  for command in step.commands:
    log.say(f"$ {shlex.join(command)}")
    code = _run(command, log)
    if code:
      log.say(f"exit code {code}: {step.hints.get(code, 'see above')}")
    if code and code not in step.passed:
      return code if code > 0 else 1  # below 0: a signal
  if step.made is not None:
    log.say(f"{step.made}: {_bytes(step.made) / 1e9:.3f} GB")
  return 0


def main(argv: list[str]) -> int:
  flags = _flags(argv)
  log = _Log(None if flags.dry_run else flags.work / "first_hour.log")
  wanted = flags.steps or tuple(steps.STEPS)
  for number, (name, make) in enumerate(steps.STEPS.items(), 1):
    if name not in wanted:
      continue
    # Only now: what it does depends on what those before it made.
    step = make(flags)
    _introduce(number, name, step, log)
    if flags.dry_run:
      _show(step, log)
    elif name in steps.LONG and not flags.steps:
      _show(step, log)
      log.say(f"not run: takes hours; --steps={name} runs it")
    elif code := _do(step, log):
      return code
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
