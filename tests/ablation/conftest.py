"""A small study: two datasets, a model that compiles fast, no training yet."""

import dataclasses

import pytest

from crab_jax import configs
from crab_jax.data import prepared_records
from crab_jax.experiment import setup
from tests.data import small_records
from tests.models import random_parameters

_TASKS = ("ks", "meld")
_SIZES = {"train": 6, "val": 2, "test": 3}


@pytest.fixture(scope="session")
def small_study(tmp_path_factory):
  """The experiment, and its workspace: records and a tokenizer."""
  root = tmp_path_factory.mktemp("study")
  found = [
    small_records.record(task, row, split)
    for task in _TASKS
    for split, count in _SIZES.items()
    for row in range(count)
  ]
  small_records.write(root / "records", found)
  tokenizer = small_records.small_tokenizer(found)
  experiment = configs.Experiment(
    model=dataclasses.replace(
      small_records.MODEL,
      adapter=configs.ILora(rank=2, heads=2, alpha=4.0, dropout=0.0),
    ),
    stages=[configs.Stage("backbone", 1, "all")],
    data=small_records.DATA,
    evaluation=configs.Evaluation(batch=4, max_new_tokens=2, limit=2),
    records=str(root / "records"),
    transfer=configs.Transfer(
      methods=("lora", "ilora_e2"),
      seeds=(0,),
      samples=4,
      pairs=("ilora_e2",),
      optimizer=configs.Optimizer(peak=1e-2),
      rows=configs.Rows(
        rows=8,
        tokens=256,
        frame_pairs=8,
        chunks=4,
        supervised=64,
        samples=4,
        waiting=4,
      ),
      loss_samples=2,
    ),
  )
  return experiment, setup.Workspace(
    root, prepared_records.read(root / "records"), tokenizer
  )


@pytest.fixture(scope="session")
def backbone(small_study):
  """Random parameters of the frozen base."""
  model = dataclasses.replace(small_study[0].model, adapter=None)
  return random_parameters.draw(model)
