"""A few clips decoded and scored while a model trains."""

import json

import numpy as np
import pytest

from crab_jax.data import prepared_records
from crab_jax.evaluation import decode
from crab_jax.evaluation import held_out
from crab_jax.evaluation import spot_check
from crab_jax.training import generation_sharding
from tests.data import small_records


class _Answerer:
  """Says what its parameters are, whatever is asked."""

  params = {}

  def answers(self, chosen):
    said = f"<answer>{int(self.params['word'])}</answer>"
    for record in chosen:
      yield decode.row(record, said, None)


@pytest.fixture
def clips(tmp_path):
  rows = [
    small_records.record(t, i, "val") for t in ("ks", "ucf") for i in (0, 1)
  ]
  rows.append(small_records.record("ks", 2, "val"))
  small_records.write(tmp_path / "records", rows)
  splits = {"ks": "val", "ucf": "val"}
  return held_out.of_splits(
    prepared_records.read(tmp_path / "records"), splits, 2
  )


def test_scores_of_the_parameters_of_each_call(clips, tmp_path):
  answerer = _Answerer()
  check = spot_check.SpotCheck(
    answerer, generation_sharding.one_device(), clips, tmp_path / "samples"
  )
  found = check(10, {"word": np.array(1, np.int32)})
  assert found == {"score/ks": 0.5, "score/ucf": 0.5, "score": 0.5}
  assert check(20, {"word": np.array(7, np.int32)})["score"] == 0
  assert answerer.params == {}  # the copy is given back
  for step, word in ((10, "1"), (20, "7")):
    lines = (tmp_path / "samples" / f"{step}.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    names = [f"{task}/val/{i}" for task in ("ks", "ucf") for i in (0, 1)]
    assert [row["id"] for row in rows] == names
    assert all(row["text"] == f"<answer>{word}</answer>" for row in rows)
    assert all("score" in row["score"] for row in rows)


def test_a_process_that_writes_no_rows(clips, tmp_path):
  check = spot_check.SpotCheck(
    _Answerer(), generation_sharding.one_device(), clips, None
  )
  assert check(1, {"word": np.array(0, np.int32)})["score"] == 0.5
  assert [path.name for path in tmp_path.iterdir()] == ["records"]
