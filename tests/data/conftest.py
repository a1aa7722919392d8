"""Fixtures of the tests of the loader: a small folder, and loaders on it."""

import pytest

from crab_jax.data import pipeline
from crab_jax.data import prepared_records
from tests.data import small_loader
from tests.data import small_records


@pytest.fixture(scope="session")
def small_root(tmp_path_factory):
  folder = tmp_path_factory.mktemp("records")
  small_records.write(folder, small_loader.FOUND + small_loader.VAL)
  return folder


@pytest.fixture(scope="session")
def small_tokenizer():
  return small_records.small_tokenizer(small_loader.FOUND)


@pytest.fixture
def make_loader(small_root, small_tokenizer):
  """Makes loaders and closes them."""
  made = []

  def make(
    rows=small_loader.ROWS, data=small_records.DATA, where=small_root, **options
  ):
    model = small_records.MODEL
    made.append(
      pipeline.train_loader(
        prepared_records.read(where),
        small_tokenizer,
        data,
        model,
        rows,
        **options,
      )
    )
    return made[-1]

  yield make
  for loader in made:
    loader.close()
