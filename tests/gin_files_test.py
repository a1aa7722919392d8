"""Every file of gin/: it parses, builds, has shapes, and is what it says.

What is built with the slices of gin/mesh/ is in planning/presets_test.py.
"""

import dataclasses
import functools
import pathlib
import re

import pytest

from crab_jax import configs
from crab_jax import gin_utils
from crab_jax.ablation import study
from crab_jax.data import tasks
from crab_jax.synthetic import perception
from crab_jax.training import sharding

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_WHOLE = ("gin/base.gin", "gin/crab_plus.gin")  # all others are differences
_ALL = sorted(
  path.relative_to(_ROOT).as_posix() for path in (_ROOT / "gin").rglob("*.gin")
)
_DIFFERENCES = [name for name in _ALL if name not in _WHOLE]
_SHAPES = functools.cache(sharding.boxes)


def _header(name: str) -> str:
  lines = (_ROOT / name).read_text().splitlines()
  return "\n".join(line for line in lines if line.startswith("#"))


def _files(name: str) -> list[str]:
  """The files that the command in the header names, up to this one."""
  files = re.findall(r"--gin_file=(\S+)", _header(name))
  return files[: files.index(name) + 1] if name in files else [name]


@pytest.mark.parametrize("name", _ALL)
def test_it_builds_a_model_with_shapes(name):
  built = gin_utils.experiment(_files(name), [])
  assert built.stages
  shapes = _SHAPES(built.model)
  stacked = {
    box.value.shape[0] for box in shapes.values() if "layers" in box.names
  }
  assert built.model.decoder.layers in stacked


@pytest.mark.parametrize("name", _DIFFERENCES)
def test_a_difference_is_short(name):
  lines = (_ROOT / name).read_text().splitlines()
  assert sum(not line.startswith("#") for line in lines if line) < 30


@pytest.mark.parametrize("name", _ALL)
def test_its_header_says_what_it_is(name):
  header = _header(name)
  assert re.match(r"# [A-Z0-9]", header)
  assert re.search(r"#   .*python -m crab_jax\.\w+", header)
  if not name.startswith("gin/mesh/"):  # their figures: the next test
    assert re.search(r"\bmemory\b|\d GiB", header, re.I)
    assert re.search(r"\btime\b|\d h\b", header, re.I)
    assert re.search(r"\bscore\b", header, re.I)


_GPUS = ("gin/mesh/gpu_1.gin", "gin/mesh/h100_8.gin")


@pytest.mark.parametrize("name", _GPUS)
def test_the_header_of_a_mesh_of_gpus_says_that_there_is_no_figure(name):
  assert "Not compiled and not measured" in _header(name)
  built = gin_utils.experiment(_files(name), [])
  devices = int(re.search(r"_(\d+)\.gin", name)[1])
  shape = sharding.mesh_shape(built.mesh, devices)
  assert built.mesh.topology is None  # `plan` compiles for TPUs
  for stage in built.stages:
    rows, rest = divmod(stage.rows.rows, stage.accumulate)
    assert rest == 0
    assert rows % (shape[0] * shape[1]) == 0


@pytest.mark.parametrize(
  "name",
  [n for n in _ALL if n.startswith("gin/mesh/") and n not in _GPUS],
)
def test_the_header_of_a_mesh_has_the_compilers_figures(name):
  lines = _header(name).splitlines()
  assert any(line.startswith("# Compiled on ") for line in lines)
  assert any("peak " in line for line in lines)
  assert any(line.startswith("#   executed/model FLOPs ") for line in lines)


@pytest.mark.parametrize(
  ("name", "preset"),
  [
    ("gin/base.gin", configs.tiny),
    ("gin/crab_plus.gin", configs.qwen2_5_omni_7b),
    ("gin/crab_plus_7b.gin", configs.qwen2_5_omni_7b),
    ("gin/crab_plus_3b.gin", configs.qwen2_5_omni_3b),
    ("gin/clip_beats_llama2_7b.gin", configs.clip_beats_llama2_7b),
  ],
)
def test_it_has_the_sizes_of_the_preset(name, preset):
  built = gin_utils.experiment([name], []).model
  sizes = ("audio", "vision", "decoder")
  assert all(getattr(built, part) == getattr(preset(), part) for part in sizes)


def test_the_tiny_preset_is_what_the_base_builds():
  built = gin_utils.experiment(["gin/base.gin"], []).model
  assert configs.tiny(adapter=built.adapter) == built


@pytest.mark.parametrize(
  "name",
  [
    "gin/base.gin",
    "gin/ablation/transfer.gin",
    "gin/ablation/transfer_gpu.gin",
  ],
)
def test_the_base_perceives_and_learns_none_of_the_sets(name):
  """Its stages have rows of prose alone; the sets are the adapter's."""
  built = gin_utils.experiment(_files(name), [])
  rows = {row.name for row in perception.ROWS}
  *base, tuning = built.stages
  assert all(stage.trains == "all" for stage in base)
  assert all(set(stage.mixture) <= rows for stage in base)
  assert set().union(*(stage.mixture for stage in base)) == rows
  assert tuning.trains == "adapter"
  assert set(tuning.mixture) == set(tasks.Tasks())


def test_what_a_base_learns_from_is_not_evaluated():
  assert not any(row.evaluated for row in perception.ROWS)
  assert all(row.evaluated for row in tasks.Tasks().values())


@pytest.mark.parametrize("name", ["transfer", "transfer_tuned", "transfer_gpu"])
def test_the_header_of_a_study_counts_its_runs(name):
  path = f"gin/ablation/{name}.gin"
  built = gin_utils.experiment(_files(path), []).transfer
  runs = study.every(built, tasks.Tasks().by_family(built.tasks))
  assert f"{len(runs)} runs" in _header(path)


def test_the_two_recipes_differ_in_the_model_alone():
  seven, three = (
    gin_utils.experiment([f"gin/crab_plus_{size}.gin"], [])
    for size in ("7b", "3b")
  )
  same = dataclasses.replace(
    three,
    base=seven.base,
    model=dataclasses.replace(three.model, decoder=seven.model.decoder),
    data=dataclasses.replace(three.data, tokenizer=seven.data.tokenizer),
  )
  assert same == seven


def test_the_study_begins_with_the_base_of_the_main_run():
  """And keeps, whatever that run does, what its budgets were tuned with."""
  built = gin_utils.experiment(["gin/ablation/transfer.gin"], [])
  main = gin_utils.experiment(["gin/base.gin"], [])
  assert built.stages == main.stages
  assert built.model == main.model
  rows = configs.Rows(
    rows=4, tokens=512, frame_pairs=20, chunks=20, supervised=192, samples=16
  )
  assert (built.world.train_samples, built.world.val_samples) == (240, 32)
  assert not set(built.world.train_factors) & set(tasks.Tasks())
  assert (built.evaluation.limit, built.evaluation.max_new_tokens) == (24, 120)
  adapter = configs.ILora(rank=16, heads=3, alpha=32.0, dropout=0.0)
  assert built.model.adapter == adapter
  transfer = built.transfer
  assert transfer.rows == dataclasses.replace(rows, rows=1)
  assert (transfer.optimizer.peak, transfer.optimizer.b2) == (4e-3, 0.98)
  assert (transfer.samples, len(transfer.methods)) == (240, 7)
