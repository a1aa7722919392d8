"""Processes that write, and what they leave."""

import signal
import subprocess
import sys

SIZE = 200_000  # bytes of what is written again and again


def started(program, path):
  process = subprocess.Popen(
    [sys.executable, "-c", program, str(path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"ready\n"
  return process


def kill(process):
  process.send_signal(signal.SIGKILL)
  process.communicate()


def join(processes):
  for process in processes:
    process.join(60)
    assert process.exitcode == 0


def names(folder):
  return sorted(path.name for path in folder.iterdir())
