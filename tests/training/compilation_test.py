"""Late compilations are named with their cause; early ones are kept."""

import logging
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from crab_jax import files
from crab_jax.training import compilation


@pytest.fixture
def warnings(caplog):
  """Texts of absl's warnings."""
  absl = logging.getLogger("absl")
  before, absl.propagate = absl.propagate, True
  with caplog.at_level(logging.WARNING, logger="absl"):
    yield lambda: [record.getMessage() for record in caplog.records]
  absl.propagate = before


def _run(monitor, step, sizes):
  for number, size in enumerate(sizes, 1):
    arguments = ({"tokens": np.zeros((2, size), np.float32)},)
    monitor.before_step(number)
    sums = step(*arguments)
    monitor.after_step(number, arguments, sums)


def test_a_new_shape_is_the_cause(warnings):
  step = jax.jit(lambda batch: batch["tokens"] * 2)
  monitor = compilation.Monitor("tuning")
  try:
    _run(monitor, step, (4, 4, 6))
  finally:
    monitor.close()
  (text,) = warnings()
  assert "stage tuning, step 3: the step was compiled again" in text
  assert "tokens" in text
  assert "float32[2, 4] -> float32[2, 6]" in text


def test_steps_of_one_shape_say_nothing(warnings):
  step = jax.jit(lambda batch: batch["tokens"] * 3)
  monitor = compilation.Monitor("tuning")
  try:
    _run(monitor, step, (4, 4, 4))
  finally:
    monitor.close()
  assert warnings() == []


def test_a_sharding_is_part_of_the_shape():
  here, there = jax.devices()[:2]
  shapes = [
    compilation._shapes({"a": jax.device_put(np.zeros(2), where)})
    for where in (here, there)
  ]
  assert "a" in compilation.difference(*shapes)


_COMPILE = """
import sys, pathlib
import jax, jax.numpy as jnp
from crab_jax.training import compilation
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
compilation.keep_in(pathlib.Path(sys.argv[1]))
hits = []
jax.monitoring.register_event_listener(
  lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None
)
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8)))
print("hits", len(hits) > 0)
"""


def test_a_second_process_finds_the_program(tmp_path):
  found = [
    subprocess.run(
      [sys.executable, "-c", _COMPILE, str(tmp_path / "compiled")],
      capture_output=True,
      text=True,
      env={**os.environ, "JAX_PLATFORMS": "cpu"},
    ).stdout
    for _ in range(2)
  ]
  assert found == ["hits False\n", "hits True\n"]


@pytest.fixture
def jax_settings():
  """What `keep` may set, put back afterwards."""
  names = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  )
  before = {name: jax.config.values[name] for name in names}
  jax.config.update(names[0], None)
  yield lambda: jax.config.values[names[0]]
  for name, value in before.items():
    jax.config.update(name, value)


def test_the_folder_is_the_users(tmp_path, monkeypatch, jax_settings):
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  for base, folder in (
    (str(tmp_path / "cache"), tmp_path / "cache"),
    ("relative", tmp_path / "home" / ".cache"),
    ("", tmp_path / "home" / ".cache"),
  ):
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    jax.config.update("jax_compilation_cache_dir", None)
    compilation.keep(None)
    assert jax_settings() == str(folder / "crab_jax" / "compiled")


def test_a_folder_that_jax_was_told_stays(tmp_path, jax_settings):
  jax.config.update("jax_compilation_cache_dir", "told")
  compilation.keep(None)
  assert jax_settings() == "told"
  compilation.keep(str(tmp_path / "wanted"))
  assert jax_settings() == str(tmp_path / "wanted")


def test_nothing_is_kept_where_that_is_wanted(jax_settings):
  compilation.keep(compilation.OFF)
  assert jax_settings() is None
  for off in (
    lambda: compilation.keep(compilation.OFF),
    lambda: compilation.keep_for_workdir(compilation.OFF, files.path("x")),
  ):
    jax.config.update("jax_compilation_cache_dir", "told")
    off()
    assert jax_settings() is None


def test_a_training_keeps_its_programs_where_it_is_told(tmp_path, jax_settings):
  compilation.keep_for_workdir(None, files.path(tmp_path / "run"))
  assert jax_settings() == str(tmp_path / "run")
  jax.config.update("jax_compilation_cache_dir", "told")
  compilation.keep_for_workdir(None, files.path(tmp_path / "run"))
  assert jax_settings() == "told"
  wanted = str(tmp_path / "wanted")
  compilation.keep_for_workdir(wanted, files.path(tmp_path / "run"))
  assert jax_settings() == wanted


def test_the_oldest_programs_make_room(tmp_path, monkeypatch):
  for age, name in enumerate(("new-cache", "old-cache", "older-cache", "mine")):
    (tmp_path / name).write_bytes(b"x" * 10)
    os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
  monkeypatch.setattr(compilation, "_MOST", 15)
  compilation._trim(tmp_path)
  names = sorted(path.name for path in tmp_path.iterdir())
  assert names == ["mine", "new-cache"]


def test_a_program_that_was_cut_off_is_compiled_again(tmp_path):
  for part in (None, 100, 0):
    for path in (tmp_path / "compiled").glob("*-cache"):
      path.write_bytes(path.read_bytes()[:part])
    done = subprocess.run(
      [sys.executable, "-c", _COMPILE, str(tmp_path / "compiled")],
      capture_output=True,
      text=True,
      env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "hits False\n"
