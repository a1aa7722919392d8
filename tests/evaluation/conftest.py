"""Fixtures of the tests of evaluation."""

import pytest

from tests.evaluation import fabricated


@pytest.fixture(scope="session")
def fabricate():
  """(task, rights, seed) -> rows; rights[i] says whether row i is right."""
  return fabricated.rows
