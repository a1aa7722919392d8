"""launch/colab_own_clips.ipynb: a CSV and clips become an adapter."""

import json

import pytest

from crab_jax import files
from crab_jax.experiment import conversion
from tests import model_folders
from tests.annotation import sources
from tests.launch import notebooks
from tests.models import random_parameters

# The base below, as crab_plus_3b.gin says it of the 3B.
_TINY = """
from __gin__ import dynamic_registration
from crab_jax import configs

configs.AudioTower.bins = 64
configs.AudioTower.layers = 1
configs.AudioTower.width = 64
configs.AudioTower.heads = 2
configs.AudioTower.mlp = 128
configs.VisionTower.layers = 1
configs.VisionTower.width = 64
configs.VisionTower.heads = 2
configs.VisionTower.mlp = 128
configs.VisionTower.patch = 28
configs.VisionTower.full_blocks = (0,)
configs.Decoder.layers = 1
configs.Decoder.width = 64
configs.Decoder.heads = 4
configs.Decoder.kv_heads = 2
configs.Decoder.head_size = 32
configs.Decoder.mlp = 64
configs.Decoder.vocabulary = 512
configs.Decoder.rope_sections = (4, 6, 6)
configs.ILora.rank = 4
configs.Rows.chunks = 12
configs.Rows.samples = 4
configs.Data.workers = 1
configs.Logging.tensorboard = False
configs.Logging.router_every = 0
configs.Evaluation.batch = 2
configs.Evaluation.max_new_tokens = 4
"""


@pytest.fixture
def made(tmp_path):
  """Ten clips with a CSV, and a small base as transformers lays it out."""
  (tmp_path / "clips").mkdir()
  sources.write_media(tmp_path / "clips", 10)
  rows = [
    sources.row("ks", i, label=("violin", "drum")[i % 2]) for i in range(10)
  ]
  sources.write_csv(tmp_path / "clips/my_clips.csv", rows)
  config = model_folders.released(layers=1)
  params = random_parameters.draw(config)
  model_folders.save_model(tmp_path / "made/model", params, config)
  conversion.export_base(
    files.path(tmp_path / "made/model"), files.path(tmp_path / "hf")
  )
  (tmp_path / "tiny.gin").write_text(_TINY)
  return tmp_path


@pytest.mark.slow
def test_clips_become_an_adapter_and_a_report(made, monkeypatch, capfd):
  kernel = notebooks.Kernel(monkeypatch, "colab_own_clips")
  monkeypatch.chdir(notebooks.ROOT)
  settings = {
    "CLIPS": str(made / "clips"),
    "WORK": str(made / "work"),
    "BASE": str(made / "hf"),
    "MODEL": str(made / "weights 3b"),
    "GIN_FILES": f"{kernel_files(kernel)} {made / 'tiny.gin'}",
    "ROWS": 2,
    "STEPS": 2,
  }
  kernel.run(**settings)
  report = json.loads((made / "work/run/report.json").read_text())
  assert "ks" in json.dumps(report)
  assert (made / "work/run/adapter").is_dir()
  assert b"\x89PNG" in {picture[:4] for picture in kernel.shown}
  assert capfd.readouterr().out.count("answered:") == 1


def kernel_files(kernel: notebooks.Kernel) -> str:
  """The gin files that the notebook names."""
  names: dict = {}
  exec(notebooks.code_cells("colab_own_clips")["settings"], names)
  return names["GIN_FILES"]


@pytest.mark.parametrize(
  ("settings", "named"),
  [({}, "is DRIVE set"), ({"CLIPS": "clips", "MODEL": "no"}, "fill in BASE")],
)
def test_what_is_missing_is_said(settings, named, tmp_path, monkeypatch):
  kernel = notebooks.Kernel(monkeypatch, "colab_own_clips")
  kernel.names["shell"] = kernel.lines.append
  monkeypatch.chdir(tmp_path)
  for name in ("clips/my_clips.csv", "gin/base.gin"):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("")
  with pytest.raises(ValueError, match=named):
    kernel.run(**settings)
  assert not any("crab_jax" in line for line in kernel.lines)
