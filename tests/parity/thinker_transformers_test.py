"""The whole thinker gives transformers' logits and loss, packed or not."""

import jax
import numpy as np
import pytest
import torch

from crab_jax.paradigms import thinker
from tests.parity import torch_thinker

# A video with two sounds, of 337 frames (a chunk of 200 and a tail of 137) and
# of 53, a picture with one of 101 frames, and a question without either.
SAMPLES = [
  torch_thinker.sample(1, pairs=2, mel=(337, 53)),
  torch_thinker.sample(2, pairs=1, image=True, mel=(101,)),
  torch_thinker.sample(3),
]


@pytest.fixture(scope="module")
def reference():
  return torch_thinker.make()


@pytest.fixture(scope="module")
def params(reference):
  return torch_thinker.params_of(reference)


@pytest.fixture(scope="module")
def expected(reference):
  """Logits of each sample, from one right-padded batch in torch."""
  with torch.no_grad():
    logits = reference(**torch_thinker.torch_inputs(SAMPLES)).logits
  return [
    row[: len(s.tokens)].numpy() for row, s in zip(logits, SAMPLES, strict=True)
  ]


def _logits(params, batch):
  model = thinker.Thinker(torch_thinker.MODEL)
  run = jax.jit(lambda p, b: model.apply({"params": p}, b, method="logits"))
  return np.asarray(run(params, batch))


def test_logits_of_a_mixed_batch(reference, params, expected):
  rows = [[s] for s in SAMPLES]
  batch = torch_thinker.batch_of(reference, rows)
  found = _logits(params, batch)
  assert 2 < max(np.abs(x).max() for x in expected) < 10
  for row, theirs in zip(found, expected, strict=True):
    difference = np.abs(row[: len(theirs)] - theirs).max()
    print("logits differ by", difference)
    assert difference < torch_thinker.TOLERANCE


def test_packed_rows_give_the_logits_of_each_sample(
  reference, params, expected
):
  rows = [[SAMPLES[2], SAMPLES[0], SAMPLES[1]], [SAMPLES[1]]]
  batch = torch_thinker.batch_of(reference, rows, extra=3)
  found = _logits(params, batch)
  assert np.all(np.isfinite(found))  # padding and unused units included
  start = 0
  for i in (2, 0, 1):
    part = found[0, start : start + len(expected[i])]
    assert np.abs(part - expected[i]).max() < torch_thinker.TOLERANCE
    start += len(expected[i])
  part = found[1, : len(expected[1])]
  assert np.abs(part - expected[1]).max() < torch_thinker.TOLERANCE


def test_loss(reference, params):
  rng = np.random.default_rng(0)
  batch = torch_thinker.batch_of(reference, [[s] for s in SAMPLES])
  places = [rng.choice(len(s.tokens) - 1, 6, replace=False) for s in SAMPLES]
  shape = (len(SAMPLES), 6)
  batch["supervised"] = np.sort(places).astype(np.int32)
  batch["labels"] = rng.integers(0, 200, shape).astype(np.int32)
  batch["weights"] = np.ones(shape, np.float32)
  inputs = torch_thinker.torch_inputs(SAMPLES)
  labels = torch.full_like(inputs["input_ids"], -100)
  for i in range(len(SAMPLES)):
    labels[i, batch["supervised"][i] + 1] = torch.tensor(
      batch["labels"][i]
    ).long()
  with torch.no_grad():
    theirs = float(reference(**inputs, labels=labels).loss)
  model = thinker.Thinker(torch_thinker.MODEL)
  run = jax.jit(lambda p, b: model.apply({"params": p}, b, method="loss"))
  loss = run(params, batch)
  difference = abs(float(loss.total / loss.weight) - theirs)
  print("loss differs by", difference)
  assert difference < 1e-5
