"""Checkpoints of SAM 2.1 in both layouts, read and written."""

import json
import pickle

import jax
import numpy as np
import pytest
import torch
import transformers
from safetensors import numpy as safetensors_numpy

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.experiment import mask_conversion
from crab_jax.training import mask_folder
from crab_jax.weights import sam2
from tests.models.sam2 import torch_sam2

TINY = torch_sam2.TINY
_SIZES = {"test": TINY}


@pytest.fixture(scope="module")
def theirs():
  return torch_sam2.build(TINY)


@pytest.fixture(scope="module")
def params(theirs):
  return torch_sam2.parameters(TINY, theirs)


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
  path = tmp_path_factory.mktemp("hf") / "image"
  theirs.save_pretrained(path)
  return path


def _video_tensors() -> dict[str, np.ndarray]:
  return {
    "memory_attention.layer_norm.weight": np.ones(3, np.float32),
    "no_object_pointer": np.ones((1, 3), np.float32),
    "mask_downsample.bias": np.ones(1, np.float32),
  }


@pytest.fixture(scope="module")
def masks(folder, tmp_path_factory):
  """What `convert sam2` makes of it."""
  path = files.path(tmp_path_factory.mktemp("masks") / "sam2")
  mask_conversion.convert(str(folder), path)
  return path


@pytest.fixture
def released(theirs, tmp_path):
  """A released file, with tensors of a video's memory beside."""
  tensors = torch_sam2.released(TINY, theirs)
  tensors["maskmem_tpos_enc"] = np.zeros((7, 1, 1, 4), np.float32)
  tensors["memory_encoder.out_proj.weight"] = np.zeros((1, 1), np.float32)
  path = tmp_path / "sam2.1_test.pt"
  state = {name: torch.tensor(x) for name, x in tensors.items()}
  torch.save({"model": state}, path)
  return path


def _values(plan: sam2.Plan) -> dict[str, np.ndarray]:
  return {
    path: block
    for path, leaf in plan.leaves.items()
    for _, block in leaf.blocks()
  }


def _flat(params) -> dict[str, np.ndarray]:
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }


def _require_equal(plan, params):
  found, wanted = _values(plan), _flat(params)
  assert found.keys() == wanted.keys()
  for name, value in wanted.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_folder_of_transformers(folder, params):
  plan = sam2.plan(str(folder))
  assert plan.config == TINY
  _require_equal(plan, params)


def test_a_video_folder(folder, params, tmp_path):
  tensors = safetensors_numpy.load_file(folder / "model.safetensors")
  safetensors_numpy.save_file(
    {**tensors, **_video_tensors()}, tmp_path / "model.safetensors"
  )
  fields = json.loads((folder / "config.json").read_text())
  fields |= {"model_type": "sam2_video", "num_maskmem": 7}
  (tmp_path / "config.json").write_text(json.dumps(fields))
  plan = sam2.plan(str(tmp_path))
  _require_equal(plan, params)
  assert plan.notes == ("not read: 3 tensors of the memory of videos",)


def test_a_released_file(released, params):
  plan = sam2.plan(str(released), _SIZES)
  assert plan.config == TINY
  _require_equal(plan, params)
  assert plan.notes == ("not read: 2 tensors of the memory of videos",)


def test_what_is_exported_transformers_loads(folder, masks, tmp_path):
  mask_conversion.export(masks, files.path(tmp_path / "out"))
  again = transformers.Sam2Model.from_pretrained(tmp_path / "out")
  first = transformers.Sam2Model.from_pretrained(folder)
  for name, value in first.state_dict().items():
    assert torch.equal(again.state_dict()[name], value), name
  wanted, found = first.config.to_dict(), again.config.to_dict()
  for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
    assert found[part] == wanted[part]


def test_the_folder_of_a_mask_model(masks, params):
  config, found = mask_folder.load(masks)
  assert config == TINY
  jax.tree.map(np.testing.assert_array_equal, found, params)
  path = masks / mask_folder.CONFIG_FILE
  text = path.read_text()
  path.write_text(json.dumps({**json.loads(text), "width": 32, "heads": 2}))
  with pytest.raises(errors.UserError, match="of another size.*should be"):
    mask_folder.load(masks)
  path.write_text(json.dumps({**json.loads(text), "width": "16"}))
  with pytest.raises(errors.UserError, match=r"sam2.json: Sam2.width"):
    mask_folder.load(masks)
  path.write_text(text)


def test_a_folder_that_is_none(tmp_path):
  with pytest.raises(errors.UserError, match=r"convert sam2"):
    mask_folder.load(files.path(tmp_path))


def test_nothing_else_is_overwritten(params, tmp_path):
  (tmp_path / "mine").write_text("kept")
  with pytest.raises(errors.UserError, match="exists"):
    mask_folder.save(files.path(tmp_path), TINY, params)


def _changed(folder, tmp_path, change, fields=None):
  """A copy of a folder with other tensors or another config.json."""
  tensors = safetensors_numpy.load_file(folder / "model.safetensors")
  change(tensors)
  safetensors_numpy.save_file(tensors, tmp_path / "model.safetensors")
  config = json.loads((folder / "config.json").read_text())
  for path, value in (fields or {}).items():
    *parents, last = path.split("/")
    part = config
    for name in parents:
      part = part[name]
    part[last] = value
  (tmp_path / "config.json").write_text(json.dumps(config))
  return str(tmp_path)


_TOKEN = "mask_decoder.iou_token.weight"


@pytest.mark.parametrize(
  ("change", "said"),
  [
    (lambda t: t.pop(_TOKEN), f"1 missing: {_TOKEN}"),
    (lambda t: t.update(extra=np.zeros(2)), "1 unexpected: extra"),
    (
      lambda t: t.update({_TOKEN: np.zeros((1, 33), np.float32)}),
      r"1 of another shape: .* \(expected \[1, 32\], got \[1, 33\]\)",
    ),
    (
      lambda t: t.update({_TOKEN: np.zeros((1, 32), np.int32)}),
      "of a dtype other than",
    ),
  ],
)
def test_what_does_not_fit_is_named(folder, tmp_path, change, said):
  with pytest.raises(errors.UserError, match=said):
    sam2.plan(_changed(folder, tmp_path, change))


@pytest.mark.parametrize(
  ("path", "value", "said"),
  [
    ("vision_config/backbone_config/mlp_ratio", 3.0, "mlp_ratio"),
    ("vision_config/backbone_config/hidden_size", 32, "embed_dim_per_stage"),
    ("vision_config/fpn_top_down_levels", [3], "fpn_top_down_levels"),
    ("mask_decoder_config/hidden_size", 64, "hidden_size"),
    ("mask_decoder_config/num_hidden_layers", 3, "num_hidden_layers"),
    ("prompt_encoder_config/image_size", 64, "image_size"),
    ("model_type", "sam", "model_type"),
    ("vision_config", 5, "config.json"),
  ],
)
def test_a_config_of_another_network_is_named(
  folder, tmp_path, path, value, said
):
  source = _changed(folder, tmp_path, lambda tensors: None, {path: value})
  with pytest.raises(errors.UserError, match=said):
    sam2.plan(source)


def test_values_that_are_not_finite_are_named(folder, tmp_path):
  bad = np.full((1, 32), np.nan, np.float32)
  source = _changed(folder, tmp_path, lambda t: t.update({_TOKEN: bad}))
  plan = sam2.plan(source)
  leaf = plan.leaves["mask_decoder/iou_token"]
  with pytest.raises(errors.UserError, match=f"{_TOKEN}.*not finite"):
    list(leaf.blocks())


@pytest.mark.parametrize("kept", [0, 100, -1000])
def test_a_truncated_folder_is_named(folder, tmp_path, kept):
  source = _changed(folder, tmp_path, lambda tensors: None)
  path = tmp_path / "model.safetensors"
  path.write_bytes(path.read_bytes()[:kept])
  with pytest.raises(errors.UserError, match="model.safetensors is damaged"):
    sam2.plan(source)


@pytest.mark.parametrize("kept", [0, 100, -1000])
def test_a_truncated_file_is_named(released, kept):
  released.write_bytes(released.read_bytes()[:kept])
  with pytest.raises(errors.UserError, match="damaged"):
    sam2.plan(str(released), _SIZES)


def test_a_file_of_no_released_size_names_them(released):
  with pytest.raises(errors.UserError, match=r"width 16 .* large \(144, 48\)"):
    sam2.plan(str(released))


def test_a_file_of_another_model(tmp_path):
  torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "x.pt")
  with pytest.raises(errors.UserError, match="no checkpoint of SAM 2.1"):
    sam2.plan(str(tmp_path / "x.pt"))


class _Evil:
  def __reduce__(self):
    return print, ("run",)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
  torch.save({"model": {"a": _Evil()}}, tmp_path / "x.pt")
  with pytest.raises(errors.UserError, match="was not loaded"):
    sam2.plan(str(tmp_path / "x.pt"))
  (tmp_path / "y.pt").write_bytes(pickle.dumps(_Evil()))
  with pytest.raises(errors.UserError, match="damaged, or no file"):
    sam2.plan(str(tmp_path / "y.pt"))
  assert "run" not in capsys.readouterr().out


def test_the_released_sizes_are_told_apart_by_a_file():
  found = {(c.width, sum(c.blocks)) for c in configs.SAM2_SIZES.values()}
  assert len(found) == len(configs.SAM2_SIZES)
