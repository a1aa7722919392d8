"""A program starts itself anew for large pages, once."""

import os
import subprocess
import sys

import pytest

from crab_jax.training import huge_pages

_SCRIPT = """
import os, sys
from crab_jax.training import huge_pages
print("started", os.getpid(), flush=True)
huge_pages.restart()
print("goes on with", os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


def _run(**more):
  environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
  return subprocess.run(
    [sys.executable, "-c", _SCRIPT, "--a b", "c"],
    env={**environment, **more},
    capture_output=True,
    text=True,
    check=True,
  ).stdout.splitlines()


@pytest.mark.skipif(not huge_pages._known(), reason="needs glibc 2.35")
def test_it_starts_anew_with_the_same_arguments():
  first, second, last = _run()
  assert first == second  # the same process
  assert last == f"goes on with {huge_pages.WANTED} ['--a b', 'c']"


@pytest.mark.parametrize("value", ["", "glibc.malloc.check=1"])
def test_what_is_set_already_stays(value):
  _, last = _run(GLIBC_TUNABLES=value)
  assert last == f"goes on with {value} ['--a b', 'c']"


@pytest.mark.parametrize(
  "found", [("", ""), ("glibc", "2.34"), ("musl", "2.40"), ("glibc", "2")]
)
def test_another_library_is_left_alone(monkeypatch, found):
  monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: found)
  assert not huge_pages._known()
