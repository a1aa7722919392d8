"""launch/slices.txt: its numbers fit together, and the mesh presets."""

import importlib.util
import math
import pathlib

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _slices() -> dict[str, dict[str, str]]:
  path = _ROOT / "launch/gke_jobset.py"
  spec = importlib.util.spec_from_file_location("gke_jobset", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.slices()


@pytest.mark.parametrize("name", sorted(_slices()))
def test_the_chips_of_a_name_are_those_of_its_row(name):
  row = _slices()[name]
  chips = int(name.split("_")[1])
  assert math.prod(map(int, row["topology"].split("x"))) == chips
  assert int(row["hosts"]) * int(row["chips_per_host"]) == chips
  assert row["machine_type"].endswith(f"-{row['chips_per_host']}t")
  cores = 2 if name.startswith("v5p") else 1
  if row["accelerator_type"] != "-":
    assert int(row["accelerator_type"].split("-")[1]) == cores * chips


def test_every_mesh_preset_of_a_tpu_has_a_row():
  presets = {path.stem for path in (_ROOT / "gin/mesh").glob("v*.gin")}
  if not presets:
    pytest.skip("gin/mesh holds no preset of a TPU slice")
  assert presets <= set(_slices())


def test_bash_and_python_read_the_same_table(cloud):
  for name, row in _slices().items():
    flags = ("--name=n", "--zone=z", f"--slice={name}", "--dry_run")
    done = cloud.run("compute_engine.sh", "create", *flags, "--image_family=i")
    assert f"--machine-type={row['machine_type']} " in done.stdout
    assert f" --size={row['hosts']} " in done.stdout.splitlines()[-1]
    done = cloud.run("tpu_vm.sh", "create", *flags)
    if row["accelerator_type"] == "-":
      assert done.returncode == 2
      assert "compute_engine.sh" in done.stderr
      continue
    assert f"--accelerator-type={row['accelerator_type']} " in done.stdout
    assert f"--version={row['runtime_version']} " in done.stdout
