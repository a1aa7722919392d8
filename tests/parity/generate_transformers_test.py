"""Greedy answers equal transformers' `generate` for prompts of any length.

Theirs runs on a left-padded batch, ours on a right-padded one.
"""

import numpy as np
import pytest
import torch

from crab_jax.paradigms import generate
from tests.parity import torch_thinker

# A picture and a sound, a video, only text.
PROMPTS = [
  torch_thinker.sample(11, pairs=1, image=True, mel=(101,)),
  torch_thinker.sample(12, pairs=2, text=(9, 1, 4)),
  torch_thinker.sample(13),
]
NEW = 24


@pytest.fixture(scope="module")
def reference():
  return torch_thinker.make(seed=3)


@pytest.fixture(scope="module")
def params(reference):
  return torch_thinker.params_of(reference)


def _theirs(reference, prompts, **options):
  inputs = torch_thinker.torch_inputs(prompts, left=True)
  reference.model.rope_deltas = None
  with torch.no_grad():
    tokens = reference.generate(
      **inputs, do_sample=False, max_new_tokens=NEW, pad_token_id=0, **options
    )
  return tokens[:, inputs["input_ids"].shape[1] :].numpy()


def _batch(reference):
  return torch_thinker.batch_of(reference, [[p] for p in PROMPTS])


def test_greedy_tokens_of_three_prompts(reference, params):
  expected = _theirs(reference, PROMPTS)
  assert len({tuple(row) for row in expected}) == 3
  run = generate.Generator(
    torch_thinker.MODEL,
    generate.Sampling(max_new_tokens=NEW, stop_tokens=(199,)),
  )
  found = run(params, _batch(reference))
  np.testing.assert_array_equal(found.tokens, expected)
  assert list(found.lengths) == [NEW] * 3


def test_repetition_penalty_and_stop_token(reference, params):
  plain = _theirs(reference, PROMPTS, repetition_penalty=1.5)
  stop = int(plain[0, 5])
  expected = _theirs(
    reference, PROMPTS, repetition_penalty=1.5, eos_token_id=stop
  )
  run = generate.Generator(
    torch_thinker.MODEL,
    generate.Sampling(
      max_new_tokens=NEW, repetition_penalty=1.5, stop_tokens=(stop,)
    ),
  )
  found = run(params, _batch(reference))
  made = expected.shape[1]
  np.testing.assert_array_equal(np.asarray(found.tokens)[:, :made], expected)
  assert not np.any(np.asarray(found.tokens)[:, made:])
  assert int(found.lengths[0]) == list(expected[0]).index(stop)
