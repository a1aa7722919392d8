"""Ten thousand damaged files: none ends a process or passes for a whole one."""

import pytest

from crab_jax.data import worker_pool
from tests.data.media import fuzz


@pytest.mark.parametrize(
  "count",
  [320, pytest.param(10_000, marks=pytest.mark.slow)],
)
def test_damaged_files_have_a_status_or_are_whole(tmp_path, count):
  fuzz.write_bases(tmp_path)
  step = 40
  jobs = [
    fuzz.Job(tmp_path, tmp_path, range(start, min(start + step, count)))
    for start in range(0, count, step)
  ]
  worker_pool.run(
    fuzz.read_damaged, jobs, steps=count, workers=2, title="fuzz", apart=True
  )
