"""The command `transfer`: its mistakes are one line; a killed study goes on."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests import cli_calls

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_GIN = f"--gin_file={_ROOT / 'gin/ablation/transfer.gin'}"
_MISTAKES = {
  (): "--gin_file is needed",
  (_GIN, "--gin_param=Transfer.sample=2"): "sample",
  (_GIN, "--gin_param=Transfer.seeds=()"): "Transfer.seeds",
  (_GIN, "--workdir=none", "--status"): "none has no plan yet",
  (
    f"--gin_file={_ROOT / 'gin/base.gin'}",
    "--workdir=x",
  ): "Experiment.transfer",
}


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
  folder = tmp_path / "empty"
  folder.mkdir()
  calls = cli_calls.call("crab_jax.transfer", list(_MISTAKES), folder)
  for made, culprit in zip(calls, _MISTAKES.values(), strict=True):
    assert made.code == 2
    assert culprit in made.stderr
    assert made.stderr.count("\n") == 1
  assert not list(folder.iterdir())


def _command(workdir, *more):
  return [
    sys.executable,
    "-m",
    "crab_jax.transfer",
    _GIN,
    f"--gin_file={_ROOT / 'gin/ablation/transfer_small.gin'}",
    "--gin_param=World.train_samples=8",
    "--gin_param=Transfer.tasks=('ks', 'ave')",
    "--gin_param=Transfer.targets=('reasoning',)",
    f"--workdir={workdir}",
    *more,
  ]


_ENVIRONMENT = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}


def _run(*command):
  return subprocess.run(
    command, capture_output=True, text=True, cwd=_ROOT, env=_ENVIRONMENT
  )


def _runs(workdir):
  """Finished runs and when they were written."""
  found = (workdir / "runs").glob("*.json")
  return {path.name: path.stat().st_mtime_ns for path in found}


@pytest.mark.slow
def test_a_killed_study_goes_on_and_reports(tmp_path):
  """kill -9 in the middle of a run; the same command goes on at once.

  The rest is done by two processes, where there are two cores.
  """
  process = subprocess.Popen(
    _command(tmp_path),
    cwd=_ROOT,
    env=_ENVIRONMENT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    end = time.monotonic() + 900
    while not (len(_runs(tmp_path)) > 2 and _at_work(tmp_path)):
      assert process.poll() is None, "the study ended before it was killed"
      assert time.monotonic() < end, "no runs came"
      time.sleep(0.02)
  finally:
    process.send_signal(signal.SIGKILL)
    process.wait()
  before = _runs(tmp_path)
  status = _run(*_command(tmp_path, "--status"))
  assert status.returncode == 0, status.stderr[-2000:]
  assert f"{len(before)} of 9 runs done" in status.stdout
  assert "remaining, one run at a time" in status.stdout
  processes = min(len(os.sched_getaffinity(0)), 2)
  done = _run(*_command(tmp_path, f"--processes={processes}"))
  assert done.returncode == 0, done.stderr[-2000:]
  assert f"report: {tmp_path / 'report.md'}" in done.stdout
  after = _runs(tmp_path)
  assert len(after) == 9
  assert {name: after[name] for name in before} == before
  assert not _claims(tmp_path)
  report = json.loads((tmp_path / "report.json").read_text())
  assert report["tasks"] == ["ks", "ave"]
  methods = {line["method"] for line in report["headline"]}
  assert methods == {"lora", "ilora_e3"}


def _claims(workdir):
  return list((workdir / "claims").glob("*seed0*"))


def _at_work(workdir):
  """Whether a run is claimed that is not done: a kill now is in its middle."""
  claimed = {path.name.rpartition("@")[0] for path in _claims(workdir)}
  return claimed - {name.removesuffix(".json") for name in _runs(workdir)}
