"""The command `convert`: exit codes, errors of one line."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from crab_jax.training import model_folder
from tests.weights import checkpoint_files

_ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  folder = tmp_path_factory.mktemp("source") / "hf"
  checkpoint_files.write(
    folder, checkpoint_files.halves(checkpoint_files.tensors())
  )
  (folder / "tokenizer.json").write_text("{}")
  return folder


def _run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "crab_jax.convert", *map(str, arguments)],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )


def test_base_from_the_command_line(source, tmp_path):
  done = _run("base", f"--source={source}", f"--out={tmp_path / 'out'}")
  assert done.returncode == 0, done.stderr
  parameters = sum(int(np.prod(x)) for x in checkpoint_files.shapes().values())
  assert f"{parameters:,} parameters (bfloat16)" in done.stdout
  assert "has no chat_template.jinja" in done.stdout
  assert model_folder.load_config(tmp_path / "out").decoder.layers == 3


def test_a_folder_is_inspected_by_its_place_alone(source, tmp_path):
  out = tmp_path / "out"
  assert _run("base", f"--source={source}", f"--out={out}").returncode == 0
  done = _run("inspect", str(out))
  assert done.returncode == 0, done.stderr
  assert f"model folder {out}, family qwen2_5_omni" in done.stdout
  # The one of the checkpoint is "{}": said, and the report goes on.
  assert "tokenizer.json does not load" in done.stdout
  assert "adapter: none" in done.stdout


def test_a_damaged_source_is_one_line_and_exit_code_2(source, tmp_path):
  broken = tmp_path / "hf"
  broken.mkdir()
  for path in source.iterdir():
    (broken / path.name).write_bytes(path.read_bytes())
  shard = broken / "model-00001.safetensors"
  shard.write_bytes(shard.read_bytes()[:-3])
  done = _run("base", f"--source={broken}", f"--out={tmp_path / 'out'}")
  assert done.returncode == 2
  (line,) = [x for x in done.stderr.splitlines() if x.startswith("error:")]
  assert "model-00001.safetensors is damaged" in line
  assert "Traceback" not in done.stderr
  assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_what_inspects_writes_nothing(tmp_path):
  done = _run("inspect", str(tmp_path), f"--out={tmp_path / 'out'}")
  assert done.returncode == 2
  assert "--out" in done.stderr
  done = _run("inspect", str(tmp_path))
  assert done.returncode == 2
  assert "neither a model folder" in done.stderr


def test_nothing_to_convert():
  done = _run()
  assert done.returncode == 2
  assert (
    "base, adapter-import, adapter-export, merge, base-export" in done.stderr
  )


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["adapter-import", "--source=a"], "--out is required"),
    (
      ["base", "--source=a", "--out=b", "--alpha=2"],
      "--alpha is for adapter-import, not for base",
    ),
    (
      ["base-export", "--source=a", "--out=b", "--base=c"],
      "--base is for base, adapter-import, merge, not for base-export",
    ),
    (["merge", "--source=a", "--out=b"], "a is no model folder"),
    (
      ["base", "--source=a", "--out=b", "--dtype=int8"],
      "--dtype=int8: there are bfloat16, float32",
    ),
    (["base", "--source=no-such", "--out=b"], "no-such is no folder"),
  ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message):
  done = _run(*arguments)
  assert done.returncode == 2
  assert message in done.stderr
  assert done.stderr.count("\n") == 1
