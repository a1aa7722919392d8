"""I-LoRA in every projection gives the logits and gradients of torch.

The oracle is a torch module of the equation, in the thinker of transformers;
B is not zero, so that every adapter leaf has a gradient.
"""

import dataclasses

import flax.traverse_util
import jax
import numpy as np
import pytest
import torch

from crab_jax import configs
from crab_jax.paradigms import thinker
from tests.parity import torch_thinker

LORA = configs.ILora(rank=4, heads=3, alpha=8.0, dropout=0.1)
CONFIG = dataclasses.replace(torch_thinker.MODEL, adapter=LORA)
SAMPLES = [
  torch_thinker.sample(1, pairs=1, mel=(237, 53)),
  torch_thinker.sample(2, pairs=1, image=True, mel=(101,)),
]


@pytest.fixture(scope="module")
def reference():
  return torch_thinker.adapt(torch_thinker.make(), LORA)


@pytest.fixture(scope="module")
def params(reference):
  flat = flax.traverse_util.flatten_dict(
    torch_thinker.params_of(reference), sep="/"
  )
  flat |= torch_thinker.adapter_of(reference)
  return flax.traverse_util.unflatten_dict(flat, sep="/")


@pytest.fixture(scope="module")
def batch(reference):
  """Both samples in one row, five positions of each supervised."""
  made = torch_thinker.batch_of(reference, [SAMPLES])
  rng = np.random.default_rng(0)
  first = len(SAMPLES[0].tokens)
  places = np.concatenate(
    [
      rng.choice(first - 1, 5, replace=False),
      first + rng.choice(len(SAMPLES[1].tokens) - 1, 5, replace=False),
    ]
  )
  made["supervised"] = places[None].astype(np.int32)
  made["labels"] = rng.integers(0, 200, (1, 10)).astype(np.int32)
  made["weights"] = np.ones((1, 10), np.float32)
  return made


@pytest.fixture(scope="module")
def expected(reference, batch):
  """Torch's logits of the packed row; its loss and gradients stay in it."""
  inputs = torch_thinker.torch_inputs(SAMPLES)
  logits = reference(**inputs).logits
  rows = [row[: len(s.tokens)] for row, s in zip(logits, SAMPLES, strict=True)]
  packed = torch.cat(rows)
  loss = torch.nn.functional.cross_entropy(
    packed[torch.tensor(batch["supervised"][0]).long()],
    torch.tensor(batch["labels"][0]).long(),
  )
  loss.backward()
  return packed.detach().numpy(), float(loss.detach())


@pytest.fixture(scope="module")
def found(params, batch):
  """Our loss, logits and gradients of the packed row."""
  model = thinker.Thinker(CONFIG)

  def run(params):
    loss = model.apply({"params": params}, batch, method="loss")
    logits = model.apply({"params": params}, batch, method="logits")
    return loss.total / loss.weight, logits[0]

  return jax.jit(jax.value_and_grad(run, has_aux=True))(params)


def test_logits_and_loss(found, expected):
  (loss, logits), _ = found
  difference = np.abs(np.asarray(logits) - expected[0]).max()
  print("logits differ by", difference, "of", np.abs(expected[0]).max())
  assert difference < torch_thinker.TOLERANCE
  print("loss differs by", abs(float(loss) - expected[1]))
  assert abs(float(loss) - expected[1]) < 1e-5


def test_gradients_of_every_adapter_leaf(reference, found, expected):
  del expected  # its fixture runs torch's backward pass
  ours = flax.traverse_util.flatten_dict(found[1], sep="/")
  theirs = torch_thinker.adapter_of(reference, gradients=True)
  assert theirs.keys() == {path for path in ours if "lora_" in path}
  worst = 0.0
  for path, gradient in theirs.items():
    scale = np.abs(gradient).max()
    assert scale > 1e-6, path
    difference = np.abs(ours[path] - gradient).max() / scale
    assert difference < 1e-4, path
    worst = max(worst, difference)
  print("gradients differ by a relative", worst)
