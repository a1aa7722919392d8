"""A server planned: its programs compiled for a host of CPU devices."""

import dataclasses

import jax
import pytest

from crab_jax import configs
from crab_jax.planning import aot
from crab_jax.planning import generation
from crab_jax.planning import slots
from crab_jax.planning import text

_TINY = configs.tiny(adapter=configs.ILora(rank=4, alpha=8.0), remat="full")
_MODEL = dataclasses.replace(
  _TINY,
  decoder=dataclasses.replace(_TINY.decoder, layers=2),
  audio=dataclasses.replace(_TINY.audio, layers=1),
  vision=dataclasses.replace(_TINY.vision, layers=1, full_blocks=(0,)),
)
_SETTINGS = configs.Slots(
  slots=4, prompt_tokens=256, new_tokens=32, prefix_bytes=1 << 10
)


@pytest.fixture(scope="module")
def phases():
  """For a host of 2 x 2 chips."""
  mesh = configs.Mesh(strategy="mesh", fsdp=4)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(aot, "devices", lambda topology: jax.devices()[:4])
    return slots.plan(_MODEL, mesh, "v5e:4x4", _SETTINGS)


def test_the_slots_are_reserved_beside_the_weights(phases):
  prefill, decode = phases
  sizes = _MODEL.decoder
  room = (
    _SETTINGS.prompt_tokens + _SETTINGS.suffix_tokens + _SETTINGS.new_tokens
  )
  token = 2 * sizes.layers * sizes.kv_heads * sizes.head_size
  whole = _SETTINGS.slots * room * token * 4  # float32
  # The chips share the heads, or the rows: each holds a quarter.
  assert decode.memory.cache == whole / 4
  assert prefill.memory.cache == decode.memory.cache
  assert decode.memory.peak > decode.memory.cache + decode.memory.frozen
  assert decode.costs.hbm_bytes >= decode.memory.cache + decode.memory.frozen


def test_one_prompt_is_read_at_a_time_and_all_slots_are_decoded(phases):
  prefill, decode = phases
  ways = prefill.chips // prefill.mesh["tensor"]
  assert prefill.rows.rows == ways
  assert prefill.rows.tokens == _SETTINGS.prompt_tokens
  assert decode.rows.rows == _SETTINGS.slots


def test_the_rate_counts_a_prefill_for_every_answer(phases):
  worst, best = slots.answers_per_second(phases)
  prefill, decode = (phase.times for phase in phases)
  assert 0 < worst < best < 1 / prefill.best
  steps = _SETTINGS.new_tokens - 1
  assert best == pytest.approx(4 / (4 * prefill.best + steps * decode.best))
  assert slots.as_json(phases)["answers_per_second"]["best"] == best


def test_what_is_said_names_slots_and_rate(phases):
  said = "\n".join(text.serving_lines(phases))
  assert generation.PREFILL in said
  assert "4 prompts of 320 tokens" in said
  assert "all slots in use (estimate)" in said
