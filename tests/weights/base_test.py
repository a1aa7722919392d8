"""A checkpoint becomes a model folder, or says all that is wrong with it."""

import functools
import json
import pathlib
import runpy

import flax.traverse_util
import huggingface_hub
import ml_dtypes
import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.training import model_folder
from crab_jax.training import streaming
from crab_jax.weights import base

files = runpy.run_path(
  str(pathlib.Path(__file__).with_name("checkpoint_files.py"))
)


def _convert(source, out):
  plan = base.plan(source)
  streaming.save(out, plan.leaves, plan.model, plan.files)
  params = model_folder.load_params(out)
  return flax.traverse_util.flatten_dict(params, sep="/")


def _leaf(plan, path):
  """One parameter, put together from its blocks."""
  leaf = plan.leaves[path]
  found = np.zeros(leaf.shape, leaf.dtype)
  for start, block in leaf.blocks():
    ends = zip(start, block.shape, strict=True)
    found[tuple(slice(first, first + size) for first, size in ends)] = block
  return found


def _same(found, expected):
  assert found.dtype == expected.dtype
  np.testing.assert_array_equal(
    found.view(f"u{found.itemsize}"), expected.view(f"u{found.itemsize}")
  )


def test_values_and_layouts(tmp_path, monkeypatch):
  monkeypatch.setattr(base, "BLOCK_BYTES", 2000)  # several chunks a parameter
  tensors = files["tensors"]()
  files["write"](tmp_path / "hf", files["halves"](tensors))
  (tmp_path / "hf" / "tokenizer.json").write_text("{}")
  flat = _convert(tmp_path / "hf", tmp_path / "out")
  assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"
  model = model_folder.load_config(tmp_path / "out")
  assert model == base.plan(tmp_path / "hf").model
  for layer in range(3):
    for ours, theirs in (
      ("self_attn/k_proj/kernel", "self_attn.k_proj.weight"),
      ("mlp/down_proj/kernel", "mlp.down_proj.weight"),
      ("input_layernorm/weight", "input_layernorm.weight"),
    ):
      expected = np.ascontiguousarray(
        tensors[f"model.layers.{layer}.{theirs}"].T
      )
      _same(flat[f"model/layers/{ours}"][layer], expected)
  conv = tensors["audio_tower.conv2.weight"]  # out, in, taps
  _same(
    flat["audio_tower/conv2/kernel"],
    np.ascontiguousarray(np.einsum("oiw->wio", conv)),
  )
  patch = tensors["visual.patch_embed.proj.weight"].reshape(16, 1176)
  _same(flat["visual/patch_embed/proj/kernel"], np.ascontiguousarray(patch.T))
  merger = tensors["visual.merger.mlp.2.weight"]
  _same(flat["visual/merger/mlp_2/kernel"], np.ascontiguousarray(merger.T))
  _same(flat["model/embed_tokens/weight"], tensors["model.embed_tokens.weight"])
  assert sum(leaf.size for leaf in flat.values()) == sum(
    tensor.size for tensor in tensors.values()
  )


def test_a_parameter_is_the_same_in_blocks_of_any_size(tmp_path, monkeypatch):
  files["write"](tmp_path / "hf", [files["tensors"]()])
  plan = base.plan(tmp_path / "hf")
  whole = {path: _leaf(plan, path) for path in plan.leaves}
  assert plan.leaves["lm_head/kernel"].chunk == (24, 40)
  monkeypatch.setattr(base, "BLOCK_BYTES", 500)
  plan = base.plan(tmp_path / "hf")
  # 240 values of 2 bytes: 40 columns in 4 parts.
  assert plan.leaves["lm_head/kernel"].chunk == (24, 10)
  assert whole.keys() == plan.leaves.keys()
  for path, leaf in whole.items():
    _same(_leaf(plan, path), leaf)


@pytest.mark.parametrize("generation", ["thinker.", "", "newest"])
def test_generations(tmp_path, generation):
  tensors = files["tensors"]()
  rename = (
    files["newest"]
    if generation == "newest"
    else lambda name: generation + name
  )
  named = {rename(name): tensor for name, tensor in tensors.items()}
  skipped = np.zeros((2, 3), ml_dtypes.bfloat16)
  named["talker.model.norm.weight"] = skipped
  named["token2wav.x"] = np.zeros((2,), np.int64)
  named[rename("audio_tower.audio_bos_eos_token.weight")] = skipped
  files["write"](tmp_path / "hf", files["halves"](named))
  kernel = tensors["model.layers.2.mlp.up_proj.weight"].T
  found = _leaf(base.plan(tmp_path / "hf"), "model/layers/mlp/up_proj/kernel")
  _same(found[2], np.ascontiguousarray(kernel))


def test_configuration_of_either_generation(tmp_path):
  tensors = files["tensors"](dtype=np.float32)
  files["write"](tmp_path / "hf", [tensors], files["CONFIG"]["thinker_config"])
  assert base.plan(tmp_path / "hf").model == configs.Model(
    audio=configs.AudioTower(
      bins=8, layers=2, width=16, heads=2, mlp=20, unit_frames=40
    ),
    vision=configs.VisionTower(
      layers=3, width=16, heads=2, mlp=12, full_blocks=(1,)
    ),
    decoder=configs.Decoder(
      layers=3,
      width=24,
      heads=4,
      kv_heads=2,
      head_size=6,
      mlp=28,
      vocabulary=40,
      rope_theta=1e4,
      rope_sections=(1, 1, 1),
    ),
    compute_dtype="float32",
    param_dtype="float32",
  )


def test_float16_becomes_float32(tmp_path):
  tensors = files["tensors"](dtype=np.float16)
  files["write"](tmp_path / "hf", [tensors])
  expected = tensors["model.norm.weight"].astype(np.float32)
  _same(_leaf(base.plan(tmp_path / "hf"), "model/norm/weight"), expected)


def test_one_tensor_of_another_dtype_does_not_widen_all(tmp_path):
  tensors = files["tensors"]()
  wide = np.full(24, 1.00390625 + 1e-4, np.float32)
  files["write"](tmp_path / "hf", [{**tensors, "model.norm.weight": wide}])
  plan = base.plan(tmp_path / "hf")
  assert plan.model.param_dtype == "bfloat16"
  assert plan.notes == ("1 of F32 become bfloat16: model.norm.weight",)
  _same(_leaf(plan, "model/norm/weight"), wide.astype(ml_dtypes.bfloat16))
  plan = base.plan(tmp_path / "hf", "float32")  # as asked for
  _same(_leaf(plan, "model/norm/weight"), wide)
  assert plan.model.param_dtype == plan.model.compute_dtype == "float32"


@pytest.mark.parametrize("missing", ["lm_head", "model.embed_tokens"])
def test_tied_embeddings(tmp_path, missing):
  tensors = files["tensors"]()
  (there,) = {"lm_head", "model.embed_tokens"} - {missing}
  del tensors[f"{missing}.weight"]
  config = files["CONFIG"]
  config = {
    "thinker_config": {**config["thinker_config"], "tie_word_embeddings": True}
  }
  files["write"](tmp_path / "hf", [tensors], config)
  plan = base.plan(tmp_path / "hf")
  rows = tensors[f"{there}.weight"]
  _same(_leaf(plan, "model/embed_tokens/weight"), rows)
  _same(_leaf(plan, "lm_head/kernel"), np.ascontiguousarray(rows.T))
  assert plan.notes == (
    f"{missing}.weight is {there}.weight: the two are tied",
  )


def test_tied_embeddings_that_differ_are_two(tmp_path):
  tensors = files["tensors"]()
  config = {**files["CONFIG"]["thinker_config"], "tie_word_embeddings": True}
  files["write"](tmp_path / "hf", [tensors], config)
  plan = base.plan(tmp_path / "hf")
  _same(
    _leaf(plan, "lm_head/kernel"),
    np.ascontiguousarray(tensors["lm_head.weight"].T),
  )


def test_a_head_that_nothing_ties_is_missing(tmp_path):
  tensors = files["tensors"]()
  del tensors["lm_head.weight"]
  files["write"](tmp_path / "hf", [tensors])
  with pytest.raises(errors.UserError, match="1 missing: lm_head.weight"):
    base.plan(tmp_path / "hf")


def test_all_that_is_wrong_comes_together(tmp_path):
  tensors = files["tensors"]()
  for layer in (0, 1, 2):
    del tensors[f"model.layers.{layer}.mlp.up_proj.weight"]
  tensors["model.layers.3.mlp.up_proj.weight"] = np.zeros((2,), np.float32)
  tensors["model.norm.weight"] = np.zeros((25,), ml_dtypes.bfloat16)
  tensors["visual.merger.ln_q.weight"] = np.zeros((16,), np.int32)
  shards = files["halves"](tensors)
  shards[0]["thinker.lm_head.weight"] = tensors["lm_head.weight"]
  files["write"](tmp_path / "hf", [*shards, {"x": np.zeros(2, np.float32)}])
  (tmp_path / "hf" / "model-00002.safetensors").write_bytes(b"short")
  with pytest.raises(errors.UserError) as error:
    base.plan(tmp_path / "hf")
  for part in (
    "3 missing: model.layers.{0-2}.mlp.up_proj.weight",
    "1 unexpected: model.layers.3.mlp.up_proj.weight",
    "1 of another shape: model.norm.weight (expected [24], got [25])",
    "1 of a dtype other than BF16, F16, F32: visual.merger.ln_q.weight (I32)",
    "1 set twice: lm_head.weight (",
    "thinker.lm_head.weight in model-00000.safetensors",
    "model-00002.safetensors is damaged",
  ):
    assert part in str(error.value)


@pytest.mark.parametrize("damage", ["truncated", "missing shard", "index"])
def test_damaged_files_are_named(tmp_path, damage):
  files["write"](tmp_path / "hf", files["halves"](files["tensors"]()))
  shard = tmp_path / "hf" / "model-00001.safetensors"
  if damage == "truncated":
    shard.write_bytes(shard.read_bytes()[:-7])
  elif damage == "missing shard":
    shard.unlink()
  else:
    shard = tmp_path / "hf" / "model.safetensors.index.json"
    shard.write_text("[]")
  with pytest.raises(errors.UserError, match=shard.name):
    base.plan(tmp_path / "hf")


def test_not_a_number_is_named_and_leaves_nothing(tmp_path):
  tensors = files["tensors"]()
  tensors["visual.blocks.1.mlp.up_proj.bias"][3] = np.nan
  files["write"](tmp_path / "hf", [tensors])
  with pytest.raises(
    errors.UserError, match=r"visual.blocks.1.mlp.up_proj.bias"
  ):
    _convert(tmp_path / "hf", tmp_path / "out")
  assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_no_folder_of_the_user_is_replaced(tmp_path):
  files["write"](tmp_path / "hf", [files["tensors"]()])
  plan = base.plan(tmp_path / "hf")
  leaves = {"model/norm/weight": plan.leaves["model/norm/weight"]}
  save = functools.partial(
    streaming.save, tmp_path / "out", leaves, plan.model, {}
  )
  save()
  save()  # a model folder may be
  (tmp_path / "out" / "model.json").unlink()
  with pytest.raises(errors.UserError, match="is no model folder"):
    save()


@pytest.mark.parametrize(
  "place", ["jinja", "chat_template", "tokenizer_config"]
)
def test_tokenizer_and_template_lie_beside(tmp_path, place):
  files["write"](tmp_path / "hf", [files["tensors"]()])
  template = "{% for message in messages %}é{% endfor %}"
  if place == "jinja":
    (tmp_path / "hf" / "chat_template.jinja").write_text(template)
  else:
    text = json.dumps({"chat_template": template})
    (tmp_path / "hf" / f"{place}.json").write_text(text)
  (tmp_path / "hf" / "tokenizer.json").write_text('{"a": 1}')
  assert base.plan(tmp_path / "hf").files == {
    "chat_template.jinja": template,
    "tokenizer.json": '{"a": 1}',
  }


@pytest.mark.parametrize("source", ["/no/such/folder", "folder", "../a/b"])
def test_no_such_folder(source):
  with pytest.raises(errors.UserError, match="is no folder$"):
    base.find(source)


def test_a_hub_id_is_downloaded(tmp_path, monkeypatch):
  asked = []

  def download(name, allow_patterns):
    asked.append((name, allow_patterns))
    return str(tmp_path)

  monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
  assert base.find("Qwen/Qwen2.5-Omni-3B") == tmp_path
  assert base.find(str(tmp_path)) == tmp_path  # this asks nobody
  files = ["*.json", "*.safetensors", "*.jinja"]
  assert asked == [("Qwen/Qwen2.5-Omni-3B", files)]


def test_a_download_that_fails_is_one_error(monkeypatch):
  def download(name, allow_patterns):
    raise OSError("no route to the hub")

  monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
  with pytest.raises(errors.UserError, match="no route to the hub"):
    base.find("a/b")
