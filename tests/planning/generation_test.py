"""Generation planned: its programs compiled for a host of CPU devices."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.planning import aot
from crab_jax.planning import flops
from crab_jax.planning import generation
from crab_jax.planning import generation_programs
from crab_jax.planning import hlo
from crab_jax.planning import report
from crab_jax.planning import text
from tests.planning import bounds

_TINY = configs.tiny(adapter=configs.ILora(rank=4, alpha=8.0), remat="full")
_MODEL = dataclasses.replace(
  _TINY,
  decoder=dataclasses.replace(_TINY.decoder, layers=2),
  audio=dataclasses.replace(_TINY.audio, layers=1),
  vision=dataclasses.replace(_TINY.vision, layers=1, full_blocks=(0,)),
)
_MESH = configs.Mesh(strategy="mesh", fsdp=4)
_PROMPTS = generation_programs.Prompts(
  rows=5, tokens=100, frame_pairs=3, chunks=2, new_tokens=16
)


def _compiled(mesh, topology, prompts, devices):
  """Both programs on CPU devices in place of a host's chips, and their text."""
  texts, compiler = [], aot.compile_lowered

  def keep(lowered):
    program = compiler(lowered)
    texts.append(program.text)
    return program

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(aot, "devices", lambda topology: jax.devices()[:devices])
    patch.setattr(aot, "compile_lowered", keep)
    phases = generation.plan(_MODEL, mesh, topology, prompts)
  return phases, list(map(hlo.parse, texts))


@pytest.fixture(scope="module")
def host():
  """For a host of 2 x 2 chips."""
  return _compiled(_MESH, "v5e:4x4", _PROMPTS, devices=4)


@pytest.fixture(scope="module")
def phases(host):
  return host[0]


def test_a_host_answers_a_batch_as_it_is_padded(phases):
  for phase in phases:
    assert (phase.topology, phase.chips, phase.hosts) == ("v5e:2x2", 4, 4)
    # Two devices share the two kv heads, two such pairs the prompts.
    assert phase.mesh == {"data": 2, "fsdp": 1, "tensor": 2}
    rows = phase.rows
    assert rows.rows == 6  # as many on each pair
    assert rows.tokens == 128
    assert (rows.frame_pairs, rows.chunks) == (4, 2)


def test_memory_is_told_apart(phases):
  first, step = (phase.memory for phase in phases)
  sizes = _MODEL.decoder
  each = sizes.layers * 2 * 6 * sizes.kv_heads * sizes.head_size
  places = 128 + _PROMPTS.new_tokens
  assert (
    step.cache * 4 == each * places * np.dtype(_MODEL.compute_dtype).itemsize
  )
  assert first.cache == step.batch == 0
  assert first.frozen > step.frozen > first.trained > step.trained > 0
  assert first.optimizer == 0
  # The stack of layers is there beside the copies that the step reads.
  weights = first.frozen + first.trained
  table = 2 * sizes.width * sizes.vocabulary * 4 / 2  # both on two devices
  assert step.held < weights < step.held + table + 4096
  # The step writes into the keys and values that it was given.
  written = step.frozen + step.trained + step.cache + step.temporaries
  assert step.peak - step.held < written + step.cache


def test_the_programs_do_what_the_mathematics_asks(phases):
  for phase in phases:
    assert 1 <= report.executed_over_model(phase) < 2.0
  first, step = phases
  assert first.costs.adapter > step.costs.adapter > 0


def test_no_program_costs_less_than_it_must(host):
  for phase, module in zip(*host, strict=True):
    bounds.check(phase, module)
  step = host[0][1]
  weights = step.memory.frozen + step.memory.trained + step.memory.cache
  assert step.costs.hbm_bytes >= weights


def test_one_answer_at_a_time_costs_no_less_than_it_must():
  prompts = dataclasses.replace(_PROMPTS, rows=1)
  found = _compiled(configs.Mesh(), "v6e:1x1", prompts, devices=1)
  for phase, module in zip(*found, strict=True):
    bounds.check(phase, module)


def test_what_is_said_and_written(phases):
  said = "\n".join(text.generation_lines(phases))
  assert said.count("ESTIMATES") == 2
  assert "prefill on a host, v5e:2x2 (4 chips, 1 host of 4)" in said
  assert "keys and values" in said
  assert "optimizer" not in said
  values = json.loads(json.dumps(generation.as_json(phases)))
  assert values["prefill"]["fits"] and values["decode"]["fits"]
  assert values["decode"]["new_tokens"] == 16
  assert "not measurements" in values["decode"]["estimates"]["note"]


def test_answers_of_the_slice(phases):
  times = report.Times(compute=2.0, memory=1.0, network=0.0)
  first, step = (
    dataclasses.replace(phase, times=times, hosts=4) for phase in phases
  )
  worst, best = generation.answers_per_second([first, step])
  assert best == pytest.approx(4 * 6 / (16 * 2.0))
  assert worst == pytest.approx(4 * 6 / (16 * 3.0))
  assert generation.answers_per_second([step]) is None


def test_prompts_that_do_not_fit_end_the_plan(monkeypatch):
  """What comes after them cannot be compiled, and they are told instead."""
  monkeypatch.setattr(aot, "devices", lambda topology: jax.devices()[:1])
  too_large = aot.Program("", {}, 40 * 2**30, 1.0)
  monkeypatch.setattr(
    generation_programs.Programs, "prefill", lambda self: too_large
  )
  (only,) = generation.plan(
    _MODEL, configs.Mesh(), "v6e:1x1", _PROMPTS, [generation.DECODE]
  )
  assert (only.program, only.rows.rows) == (generation.PREFILL, 5)
  assert only.mesh == {"data": 1}
  assert "DOES NOT FIT" in "\n".join(text.generation_lines([only]))
  values = generation.as_json([only])
  assert values["prefill"]["fits"] is False
  assert "answers_per_second" not in values


def test_a_decoded_token_costs_what_the_equations_say():
  """13.05 GFLOP in the decoder, 1.365 in I-LoRA of rank 128 with 3 heads."""
  model = configs.qwen2_5_omni_7b(adapter=configs.ILora())
  count = flops.decode(model, rows=2, keys=1000)
  assert count.decoder / 2e9 == pytest.approx(13.0506, abs=1e-4)
  assert count.adapter / 2e9 == pytest.approx(1.3647, abs=1e-4)
  assert count.attention == 2 * 4 * 28 * 1000 * 28 * 128
  assert count.head == 2 * 2 * 3584 * 152064
  assert count.towers == 0
