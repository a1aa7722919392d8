"""Model folders: what is written comes back, what is none is named."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.training import lazy_params
from crab_jax.training import model_folder
from tests.data import clips


def test_a_model_folder_comes_back(tmp_path):
  model = configs.tiny(adapter=configs.ILora(rank=2))
  extra = tmp_path / "extra.txt"
  extra.write_text("beside")
  params = {"a": {"kernel": np.arange(3.0)}}
  folder = tmp_path / "model"
  model_folder.save(folder, params, model, {"extra.txt": extra})
  assert model_folder.load_config(folder) == model
  jax.tree.map(
    np.testing.assert_array_equal, model_folder.load_params(folder), params
  )
  assert (folder / "extra.txt").read_text() == "beside"


def _same(found, params):
  jax.tree.map(np.testing.assert_array_equal, found, params)


def test_a_base_that_nothing_changed_is_named_and_not_copied(tmp_path):
  model = configs.tiny()
  params = {"a": {"kernel": np.arange(3.0, dtype=np.float32)}}
  given, run, later = (tmp_path / name for name in ("given", "run", "later"))
  model_folder.save(given, params, model, {})
  (tmp_path / "tokenizer.json").write_text("own")
  beside = {"tokenizer.json": tmp_path / "tokenizer.json"}
  model_folder.save_reference(run, given, model, beside)
  assert not (run / "params").exists()
  assert (run / "tokenizer.json").read_text() == "own"
  assert model_folder.load_config(run) == model
  _same(model_folder.load_params(run), params)
  (leaf,) = lazy_params.open_leaves(run, ["a/kernel"]).values()
  np.testing.assert_array_equal(leaf.read(), params["a"]["kernel"])
  # Of a reference the folder that it names is named: no chain can break.
  model_folder.save_reference(later, run, model, {})
  shutil.rmtree(run)
  _same(model_folder.load_params(later), params)
  # A run whose base is its own folder keeps it.
  model_folder.save_reference(given, later, model, {})
  _same(model_folder.load_params(given), params)
  given.rename(tmp_path / "moved")
  with pytest.raises(errors.UserError, match=r"later.params\.json says"):
    model_folder.load_params(later)
  with pytest.raises(errors.UserError, match="given"):
    lazy_params.open_leaves(later, ["a/kernel"])


# As written before encoders spoke of units; the model has other sizes than
# the defaults, so that no field can come from there.
_FORMER = """{
  "audio": {"mel_bins": 64, "layers": 1, "width": 64, "heads": 2, "mlp": 128,
            "chunk_frames": 100, "pool": 10},
  "vision": {"frame_size": 112, "layers": 2, "width": 64, "heads": 2,
             "mlp": 192, "patch": 28, "temporal_patch": 4, "merge": 2,
             "window": 112, "full_blocks": [1]},
  "decoder": {"layers": 4, "width": 128, "heads": 4, "kv_heads": 2,
              "head_size": 32, "mlp": 384, "vocabulary": 2048,
              "rope_theta": 1000000.0, "rope_sections": [4, 6, 6],
              "context": 32768},
  "adapter": {"rank": 2, "heads": 3, "alpha": 256.0, "dropout": 0.1,
              "targets": "lm+towers", "router": "token", "shared_a": true,
              "shared_mask": false},
  "compute_dtype": "float32", "param_dtype": "float32", "frozen_dtype": null,
  "remat": "none", "tower_remat": null, "attention": "xla", "logit_chunk": 1024
}"""


def test_a_folder_of_the_first_version_loads(tmp_path):
  (tmp_path / "model.json").write_text(_FORMER)
  model = configs.tiny(adapter=configs.ILora(rank=2))
  audio = dataclasses.replace(model.audio, unit_frames=100, pool=10)
  vision = dataclasses.replace(model.vision, unit_frames=4)
  expected = dataclasses.replace(model, audio=audio, vision=vision)
  assert model_folder.load_config(tmp_path) == expected


@pytest.mark.parametrize("missing", ["model.json", "params"])
def test_a_folder_that_is_no_model_is_named(tmp_path, missing):
  with pytest.raises(errors.UserError, match=missing):
    if missing == "params":
      model_folder.load_params(tmp_path)
    else:
      model_folder.load_config(tmp_path)


def test_a_damaged_model_file_is_named(tmp_path):
  (tmp_path / "model.json").write_text('{"no": 1}')
  with pytest.raises(errors.UserError, match="model.json"):
    model_folder.load_config(tmp_path)


def _spread(shapes):
  """The shapes, each over eight devices in a mesh of four by two."""
  axes = (jax.sharding.AxisType.Auto,) * 2
  mesh = jax.make_mesh((4, 2), ("a", "b"), axes)
  spec = jax.sharding.PartitionSpec("a", "b")
  where = jax.sharding.NamedSharding(mesh, spec)
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
    shapes,
  )


def test_a_model_is_read_straight_into_its_places(tmp_path):
  model = configs.tiny()
  params = {"a": {"kernel": np.arange(32.0, dtype=np.float32).reshape(8, 4)}}
  model_folder.save(tmp_path / "model", params, model, {})
  found = model_folder.load_params(
    tmp_path / "model", lambda shapes: _spread(shapes)
  )
  kernel = found["a"]["kernel"]
  np.testing.assert_array_equal(kernel, params["a"]["kernel"])
  assert kernel.addressable_shards[0].data.shape == (2, 2)


@pytest.mark.parametrize("place", [None, _spread])
def test_damaged_parameters_are_named(tmp_path, place):
  kernel = np.random.default_rng(0).normal(size=(80, 400)).astype(np.float32)
  folder = tmp_path / "model"
  model_folder.save(folder, {"a": {"kernel": kernel}}, configs.tiny(), {})
  clips.cut_short(clips.largest_file(folder / "params"))
  with pytest.raises(
    errors.UserError, match=f"{folder}/params cannot be read: .*a"
  ):
    model_folder.load_params(folder, place)
