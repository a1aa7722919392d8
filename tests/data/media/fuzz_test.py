"""Ten thousand damaged files: none ends a process or passes for a whole one."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
  "count",
  [320, pytest.param(10_000, marks=pytest.mark.slow)],
)
def test_damaged_files_have_a_status_or_are_whole(tmp_path, count):
  """In processes of their own: other tests make the memory of a fork larger."""
  subprocess.run(
    [sys.executable, "-m", "tests.data.media.fuzz", tmp_path, str(count)],
    check=True,
  )
