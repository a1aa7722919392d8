"""The command `plan`: exit codes, errors of one line, and a real compile."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_LIBTPU = importlib.util.find_spec("libtpu") is not None
_SMALL = [
  "--gin_file=gin/base.gin",
  "--gin_file=gin/mesh/cpu8.gin",
  "--gin_param=Model.remat='full'",
  "--gin_param=Decoder.layers=2",
]


def _run(*flags):
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
  return subprocess.run(
    [sys.executable, "-m", "crab_jax.plan", *flags],
    cwd=_ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=1800,
  )


def _one_line(result):
  lines = [line for line in result.stderr.splitlines() if "error:" in line]
  assert len(lines) == 1
  assert "Traceback" not in result.stderr
  return lines[0]


def test_no_topology_is_an_error_of_one_line():
  result = _run("--gin_file=gin/base.gin")
  assert result.returncode == 2
  assert "--topology" in _one_line(result)


@pytest.mark.parametrize(
  ("wrong", "named"),
  [
    (["--prefill", "--prompt=1024,10"], "--prompt=1024,10 must read"),
    (["--decode", "--sweep"], "--decode does not go with --sweep"),
  ],
)
def test_a_wrong_question_about_generation_is_named(wrong, named):
  result = _run(*_SMALL, "--topology=v5e:2x4", *wrong)
  assert result.returncode == 2
  assert named in _one_line(result)


@pytest.mark.skipif(_LIBTPU, reason="libtpu is installed")
def test_without_libtpu_the_extra_is_named():
  result = _run(*_SMALL, "--topology=v5e:2x4")
  assert result.returncode == 2
  assert "crab_jax[tpu]" in _one_line(result)


def _is_physical(plan):
  """Whether weights and cache are read, and the model's products computed.

  The encoders that answering does without are no part of `decode`'s weights.
  """
  memory, chip, times = plan["memory"], plan["chip"], plan["times"]
  read = memory["frozen"] + memory["trained"] + memory["cache"]
  asked = sum(plan["model_flops"].values()) / plan["chips"]
  least = max(read / chip["hbm_bandwidth"], asked / chip["flops"])
  return plan["costs"]["hbm_bytes"] >= read and max(times.values()) >= least


@pytest.mark.slow
@pytest.mark.skipif(not _LIBTPU, reason="needs libtpu (extra tpu)")
def test_a_small_generation_one_row_at_a_time_does_its_products(tmp_path):
  """The compiler writes products with a vector as sums."""
  out = tmp_path / "plan.json"
  flags = ["--topology=v6e:1x1", "--decode", "--prompt=128,4,5"]
  flags += ["--gin_param=Evaluation.batch=1", "--gin_param=Mesh.data=1"]
  flags += ["--gin_param=Mesh.fsdp=1", "--gin_param=Mesh.tensor=1"]
  result = _run(*_SMALL, *flags, f"--out={out}")
  assert result.returncode == 0, result.stderr[-2000:]
  assert 1 <= json.loads(out.read_text())["decode"]["executed_over_model"] < 2


@pytest.mark.slow
@pytest.mark.skipif(not _LIBTPU, reason="needs libtpu (extra tpu)")
def test_a_small_step_compiles_for_a_tpu(tmp_path):
  """The trainer's step, I-LoRA's einsum in it, for eight v5e chips."""
  out = tmp_path / "plan.json"
  result = _run(*_SMALL, "--topology=v5e:2x4", f"--out={out}")
  assert result.returncode == 0, result.stderr[-2000:]
  plan = json.loads(out.read_text())
  assert plan["fits"]
  assert plan["mesh"] == {"data": 2, "fsdp": 2, "tensor": 2}
  assert plan["costs"]["adapter"] > 0
  assert plan["costs"]["received"]["all-gather"] > 0
  assert 1 < plan["executed_over_model"] < 3
  assert _is_physical(plan)


@pytest.mark.slow
@pytest.mark.skipif(not _LIBTPU, reason="needs libtpu (extra tpu)")
def test_between_two_slices_only_gradients_travel(tmp_path):
  out = tmp_path / "plan.json"
  flags = ["--topology=v5e:2x2", "--gin_param=Mesh.slices=2"]
  result = _run(*_SMALL, *flags, f"--out={out}")
  assert result.returncode == 0, result.stderr[-2000:]
  plan = json.loads(out.read_text())
  assert (plan["slices"], plan["chips"]) == (2, 8)
  trained = plan["memory"]["trained"]
  assert trained / 2 <= plan["costs"]["from_slices"] < 2 * trained
  assert plan["times"]["slices"] > 0
  assert _is_physical(plan)


@pytest.mark.slow
@pytest.mark.skipif(not _LIBTPU, reason="needs libtpu (extra tpu)")
def test_a_small_generation_compiles_for_a_tpu(tmp_path):
  """Both programs, for one of the two hosts of eight v5e chips."""
  out = tmp_path / "plan.json"
  flags = ["--topology=v5e:2x4", "--prefill", "--decode", "--prompt=128,4,5"]
  result = _run(*_SMALL, *flags, f"--out={out}")
  assert result.returncode == 0, result.stderr[-2000:]
  plan = json.loads(out.read_text())
  for name in ("prefill", "decode"):
    assert plan[name]["fits"]
    assert plan[name]["topology"] == "v5e:2x2"
    assert 1 < plan[name]["executed_over_model"] < 3
    assert _is_physical(plan[name])
    # The chips share the heads: sums travel, the weights stay where they are.
    assert plan[name]["mesh"] == {"data": 2, "fsdp": 1, "tensor": 2}
    received = plan[name]["costs"]["received"]
    assert received["all-reduce"] > 0
    assert received["all-gather"] < plan[name]["memory"]["frozen"] / 10
  assert plan["answers_per_second"]["best"] > 0
