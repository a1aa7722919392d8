"""Which runner a name stands for."""

import importlib.util

import pytest

from crab_jax import errors
from crab_jax.data import preparation_local
from crab_jax.data import preparation_runners

_BEAM = importlib.util.find_spec("apache_beam") is not None


def test_local_is_the_process_pool():
  assert preparation_runners.by_name("local", []) is preparation_local.run


@pytest.mark.skipif(_BEAM, reason="Apache Beam is installed")
def test_without_beam_the_extra_is_named():
  with pytest.raises(errors.UserError, match=r"--runner=.*crab_jax\[beam\]"):
    preparation_runners.by_name("DataflowRunner", ["project=x"])
