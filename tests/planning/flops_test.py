"""Model FLOPs against the published counts and against a plain product list."""

import dataclasses

import pytest

from crab_jax import configs
from crab_jax.paradigms import network
from crab_jax.planning import flops

_7B = configs.qwen2_5_omni_7b(adapter=configs.ILora(targets="lm"))
_ROWS = configs.Rows(rows=1)


def test_the_decoder_costs_what_the_paper_counts():
  """13.05 GFLOP a token, and 1.365 for I-LoRA of rank 128 with 3 heads."""
  stack = flops._decoder(_7B, 2048)
  assert flops._base(stack) / 1e9 == pytest.approx(13.0506, abs=1e-4)
  adapter = flops.adapter_forward(stack, _7B.adapter)
  assert adapter / 1e9 == pytest.approx(1.3647, abs=1e-4)


def test_plain_and_moe_lora_cost_what_the_paper_counts():
  stack = flops._decoder(_7B, 2048)
  plain = configs.ILora(heads=1)
  assert flops.adapter_forward(stack, plain) / 1e9 == pytest.approx(
    0.646, abs=1e-3
  )
  separate = configs.ILora(shared_a=False)
  assert flops.adapter_forward(stack, separate) / 1e9 == pytest.approx(
    1.945, abs=1e-3
  )


def test_a_frozen_weight_has_no_gradient():
  count = flops.train_step(_7B, _ROWS, "adapter")
  forward = 2048 * 13.0506e9
  assert count.decoder == pytest.approx(2 * forward, rel=1e-4)
  whole = flops.train_step(_7B, _ROWS, "all")
  assert whole.decoder == pytest.approx(3 * forward, rel=1e-4)
  assert whole.adapter == 0


def test_towers_without_adapter_have_no_backward_pass():
  frozen = flops.train_step(_7B, _ROWS, "adapter")
  adapter = configs.ILora(targets="lm+towers")
  model = dataclasses.replace(_7B, adapter=adapter)
  trained = flops.train_step(model, _ROWS, "adapter")
  assert 1.9 < trained.towers / frozen.towers < 2.0
  assert trained.attention > frozen.attention
  assert trained.adapter > frozen.adapter
  assert trained.decoder == frozen.decoder


def test_the_count_grows_with_the_rows():
  one = flops.train_step(_7B, _ROWS, "adapter")
  many = flops.train_step(_7B, configs.Rows(rows=8), "adapter")
  assert many.total == pytest.approx(8 * one.total)


def test_a_prefill_is_the_forward_pass_of_a_step():
  """A third of a step that trains all, but for the vocabulary."""
  step = flops.train_step(_7B, _ROWS, "all")
  first = flops.prefill(_7B, _ROWS)
  assert first.decoder == pytest.approx(step.decoder / 3)
  assert first.attention == pytest.approx(step.attention / 3)
  assert first.head == 2 * 3584 * 152064
  adapted = flops.train_step(_7B, _ROWS, "adapter")
  assert first.adapter == pytest.approx(adapted.adapter / 3)
  # What reads pixels and mel has no gradient to pass on.
  pixels = network.of(_7B).encoders(_7B, _ROWS).first
  assert first.towers == pytest.approx((step.towers + pixels) / 3)
  towers = configs.qwen2_5_omni_7b(adapter=configs.ILora(targets="lm+towers"))
  assert flops.prefill(towers, _ROWS).adapter > first.adapter


def test_what_trains_in_a_stage_decides_where_gradients_go():
  """Counted of each part: forward, with one gradient, or with two."""
  adapter = configs.ILora(targets="lm")
  model = configs.clip_beats_llama2_7b(adapter=adapter)
  encoders = network.of(model).encoders(model, _ROWS)
  tower = sum(x.positions * flops._base(x) for x in encoders.stacks)
  times = {
    "projectors": (1, 3, 1, 2),
    ("projectors", "adapter"): (1, 3, 1, 2),
    "adapter": (1, 1, 1, 2),
    "towers": (3, 2, 2, 2),
    "all": (3, 3, 2, 3),
  }
  forward = flops.prefill(model, _ROWS).decoder
  for trains, (towers, last, first, decoder) in times.items():
    count = flops.train_step(model, _ROWS, trains)
    expected = towers * tower + last * encoders.last + first * encoders.first
    assert count.towers == pytest.approx(expected), trains
    assert count.decoder == pytest.approx(decoder * forward), trains
    assert bool(count.adapter) == ("adapter" in trains)
