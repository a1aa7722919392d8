"""launch/worker.sh, which runs on each host."""

import contextlib
import os
import pathlib
import signal
import subprocess

import pytest

_LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"


def _worker(home: pathlib.Path, *arguments: str):
  return subprocess.run(
    ["bash", str(_LAUNCH / "worker.sh"), *arguments],
    env={"HOME": str(home), "PATH": os.environ["PATH"]},
    capture_output=True,
    text=True,
    timeout=300,
  )


def _word(home: pathlib.Path) -> str:
  return _worker(home, "status").stdout.split(" ", 1)[1].strip()


@pytest.fixture
def home(tmp_path):
  yield tmp_path
  _worker(tmp_path, "stop")


@pytest.fixture
def word_after_running(home, wait_until):
  def wait() -> str:
    wait_until(lambda: _word(home) != "running")
    return _word(home)

  return wait


@pytest.mark.parametrize(
  ("command", "word"),
  [
    (("true",), "finished"),
    (("bash", "-c", "exit 2"), "failed 2"),
    (("bash", "-c", "exit 25"), "failed 25"),
    (("no such program",), "failed 127"),
    (("bash", "-c", "kill -KILL $$"), "failed 137"),
  ],
)
def test_status_tells_how_a_command_ended(
  home, word_after_running, command, word
):
  assert _word(home) == "new"
  assert _worker(home, "start", *command).returncode == 0
  assert word_after_running() == word


def test_a_command_outlives_the_call_that_started_it(home):
  _worker(home, "start", "sleep", "300")
  assert _word(home) == "running"


def test_starting_the_same_twice_starts_it_once(home, wait_until):
  command = ("bash", "-c", f"echo >>'{home}/starts'; sleep 30")
  for _ in range(2):
    assert _worker(home, "start", *command).returncode == 0
  wait_until((home / "starts").exists)
  assert (home / "starts").read_text() == "\n"


def test_starting_something_else_meanwhile_is_an_error(home):
  _worker(home, "start", "sleep", "300")
  done = _worker(home, "start", "sleep", "301")
  assert done.returncode == 2
  assert "sleep 300" in done.stderr


def test_a_stop_is_no_end_even_if_the_command_exits_with_0(
  home, word_after_running, wait_until
):
  command = "trap 'exit 0' TERM; echo ready; sleep 30 & wait"
  _worker(home, "start", "bash", "-c", command)
  wait_until(lambda: "ready\n" in _worker(home, "log", "9").stdout)
  assert _worker(home, "stop").stdout.endswith(" stopped\n")
  _worker(home, "start", "true")
  assert word_after_running() == "finished"


def test_a_killed_supervisor_is_lost(home, word_after_running):
  _worker(home, "start", "sleep", "300")
  pid = int((home / ".crab_jax/pid").read_text())
  os.killpg(pid, signal.SIGKILL)
  assert word_after_running() == "lost"


def test_a_pid_of_before_a_reboot_is_lost(home):
  (home / ".crab_jax").mkdir()
  (home / ".crab_jax/pid").write_text(f"{os.getpid()}\n")
  assert _word(home) == "lost"


@pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("exit 0", 0)])
def test_attend_passes_the_exit_code_on(home, command, code):
  done = _worker(home, "attend", "bash", "-c", command)
  assert done.returncode == code


def test_attend_exits_with_143_after_sigterm(home, wait_until):
  command = f"trap 'exit 0' TERM; touch '{home}/ready'; sleep 30 & wait"
  process = subprocess.Popen(
    ["bash", _LAUNCH / "worker.sh", "attend", "bash", "-c", command],
    env={"HOME": str(home), "PATH": os.environ["PATH"]},
    start_new_session=True,
  )
  wait_until((home / "ready").exists)
  process.terminate()
  try:
    assert process.wait(300) == 143
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)  # the sleep


@pytest.mark.parametrize("before", ['"$@"', "child=$!"])
def test_a_sigterm_while_the_command_starts_reaches_it(home, before):
  """It comes before a line of the script at which no child is known yet."""
  (home / "signals.sh").write_text(
    "set -T\ntrap '[[ $BASH_COMMAND != \"$BEFORE\" ]] || kill -TERM $$' DEBUG\n"
  )
  process = subprocess.Popen(
    ["bash", _LAUNCH / "worker.sh", "attend", "sleep", "30"],
    env={
      "HOME": str(home),
      "PATH": os.environ["PATH"],
      "BASH_ENV": str(home / "signals.sh"),
      "BEFORE": before,
    },
    start_new_session=True,
  )
  try:
    assert process.wait(20) == 143
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)


def test_unknown_command_is_an_error(home):
  done = _worker(home, "strat")
  assert done.returncode == 2
  assert "'strat'" in done.stderr
