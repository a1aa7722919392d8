"""Test settings: eight fake CPU devices, strict rank promotion, type checks."""

import os
import pathlib

_CACHE = pathlib.Path(__file__).resolve().parents[1] / ".pytest_cache"
os.environ["JAX_PLATFORMS"] = "cpu"
# The commands that the tests run keep what they compile there, not at home.
os.environ["XDG_CACHE_HOME"] = str(_CACHE / "user")
os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# Many tests build the same small models, in two processes beside.
jax.config.update("jax_compilation_cache_dir", str(_CACHE / "programs"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
jaxtyping.install_import_hook(
  ["crab_jax.models", "crab_jax.data", "crab_jax.training"],
  "beartype.beartype",
)


@pytest.hookimpl(tryfirst=True)  # before the fixtures, which compile too
def pytest_runtest_setup(item):
  """Spares the default tests the passes of LLVM, nearly half of their time.

  Slow tests and those of parity compile as users do, and so does every command
  that a test starts as a process.
  """
  as_users = item.get_closest_marker("slow") or "parity" in item.path.parts
  jax.config.update("jax_disable_most_optimizations", not as_users)


def pytest_xdist_auto_num_workers(config):
  """For `-n auto`: a process more than cores, as many tests wait for others.

  The slow ones mostly start commands, which take every core themselves.
  """
  return None if config.option.markexpr == "slow" else os.cpu_count() + 1


@pytest.fixture(scope="session")
def bucket(tmp_path_factory):
  """The proxy of a server of buckets; the bucket is `bucket_server.BUCKET`."""
  from tests import bucket_server

  with bucket_server.serving(tmp_path_factory.mktemp("buckets")) as proxy:
    yield proxy


@pytest.fixture
def bucket_folder(bucket, request):
  """A folder of the bucket for one test."""
  from crab_jax import files
  from tests import bucket_server

  del bucket
  return files.path(f"gs://{bucket_server.BUCKET}/{request.node.name}")
