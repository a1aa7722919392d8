"""Looking at routers: what is read, and what there is nothing to look at."""

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import prepared_records
from crab_jax.data import tasks
from crab_jax.routers import routing
from tests.data import small_records


def test_a_model_without_a_router_is_refused():
  with pytest.raises(errors.UserError, match="has no router"):
    routing.collect(configs.tiny(), {}, iter([]), tasks.Tasks())


def test_no_records_are_an_error():
  model = configs.tiny(adapter=configs.ILora(rank=2, heads=2))
  with pytest.raises(errors.UserError, match="no records"):
    routing.collect(model, {}, iter([]), tasks.Tasks())


@pytest.mark.parametrize("held", [True, False])
def test_validation_records_are_read_or_else_training_records(tmp_path, held):
  splits = {"train": 3, **({"val": 2} if held else {})}
  made = [
    small_records.record("ks", row, split)
    for split, count in splits.items()
    for row in range(count)
  ]
  small_records.write(tmp_path, made)
  rows = configs.Rows(
    rows=1, tokens=512, frame_pairs=20, chunks=8, supervised=64, samples=2
  )
  batches = routing.batches(
    prepared_records.read(tmp_path),
    small_records.small_tokenizer(made),
    small_records.DATA,
    small_records.MODEL,
    rows,
    None,
  )
  ids = [b["sample_ids"][..., 0].ravel() for b in batches]
  seen = (np.concatenate(ids) >= 0).sum()
  assert seen == (2 if held else 3)
