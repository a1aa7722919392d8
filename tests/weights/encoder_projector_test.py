"""A base of several sources, written with the names of their own libraries."""

import dataclasses
import json

import flax.traverse_util
import numpy as np
import pytest
import safetensors.torch
import tokenizers
import torch
import transformers

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tokenizer as our_tokenizers
from crab_jax.experiment import conversion
from crab_jax.paradigms import front
from crab_jax.paradigms.encoder_projector import checkpoint_config
from crab_jax.paradigms.encoder_projector import grammar
from crab_jax.training import model_folder
from crab_jax.weights import adapter
from crab_jax.weights import encoder_projector

_CFG = {
  "encoder_layers": 2, "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 64,
  "encoder_attention_heads": 2, "embed_dim": 16, "input_patch_size": 16,
  "conv_pos": 8, "conv_pos_groups": 4, "num_buckets": 32, "max_distance": 80,
  "deep_norm": True, "layer_norm_first": False, "gru_rel_pos": True,
  "relative_position_embedding": True, "activation_fn": "gelu",
  "conv_bias": False, "layer_wise_gradient_decay_ratio": 0.6,
  "finetuned_model": True, "predictor_class": 527,
}  # fmt: skip


def _saved(folder, model):
  """A model of transformers with random weights, saved as the hub has it."""
  torch.manual_seed(0)
  model.save_pretrained(folder)
  path = folder / "model.safetensors"
  tensors = safetensors.torch.load_file(path)
  return {name: x.numpy() for name, x in tensors.items()}


def _linear(name, outputs, inputs):
  return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name, width):
  return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _beats():
  """Shapes by the names of the official file."""
  shapes = {"patch_embedding.weight": (16, 1, 16, 16)}
  shapes |= _norm("layer_norm", 16) | _linear("post_extract_proj", 32, 16)
  shapes |= {
    "encoder.pos_conv.0.bias": (32,),
    "encoder.pos_conv.0.weight_g": (1, 1, 8),
    "encoder.pos_conv.0.weight_v": (32, 8, 8),
  }
  shapes |= _norm("encoder.layer_norm", 32) | _linear("predictor", 527, 32)
  for i in range(2):
    at = f"encoder.layers.{i}"
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
      shapes |= _linear(f"{at}.self_attn.{name}", 32, 32)
    shapes |= _linear(f"{at}.self_attn.grep_linear", 8, 16)
    shapes[f"{at}.self_attn.grep_a"] = (1, 2, 1, 1)
    shapes[f"{at}.self_attn.relative_attention_bias.weight"] = (32, 2)
    shapes |= _linear(f"{at}.fc1", 64, 32) | _linear(f"{at}.fc2", 32, 64)
    shapes |= _norm(f"{at}.self_attn_layer_norm", 32)
    shapes |= _norm(f"{at}.final_layer_norm", 32)
  return shapes


def _projector(top, word, width):
  """Shapes of one projector by the names of the published file."""
  at = f"base_model.model.model.{top}_projector.{word}"
  shapes = {f"{at}_query_tokens": (1, 3, 64)} | _norm(f"{at}_ln", width)
  shapes |= _linear(f"{at}_proj.0", 48, 64) | _linear(f"{at}_proj.2", 48, 48)
  bert = f"{at}_Qformer.bert"
  shapes |= _norm(f"{bert}.embeddings.LayerNorm", 64)
  shapes[f"{bert}.embeddings.word_embeddings.weight"] = (9, 64)
  shapes[f"{at}_Qformer.cls.predictions.bias"] = (9,)
  layer = f"{bert}.encoder.layer.0"
  for block, keys in (("attention", 64), ("crossattention", width)):
    for name, inputs in (("query", 64), ("key", keys), ("value", keys)):
      shapes |= _linear(f"{layer}.{block}.self.{name}", 64, inputs)
    shapes |= _linear(f"{layer}.{block}.output.dense", 64, 64)
    shapes |= _norm(f"{layer}.{block}.output.LayerNorm", 64)
  for end in ("", "_query"):
    shapes |= _linear(f"{layer}.intermediate{end}.dense", 24, 64)
    shapes |= _linear(f"{layer}.output{end}.dense", 64, 24)
    shapes |= _norm(f"{layer}.output{end}.LayerNorm", 64)
  return shapes


def _adapter():
  """Shapes of a LoRA on the language model of two layers."""
  sizes = {
    "self_attn.q_proj": (48, 48), "self_attn.k_proj": (48, 48),
    "self_attn.v_proj": (48, 48), "self_attn.o_proj": (48, 48),
    "mlp.gate_proj": (96, 48), "mlp.up_proj": (96, 48),
    "mlp.down_proj": (48, 96),
  }  # fmt: skip
  shapes = {}
  for layer in range(2):
    for name, (outputs, inputs) in sizes.items():
      at = f"base_model.model.model.layers.{layer}.{name}"
      shapes[f"{at}.lora_route.weight"] = (2, inputs)
      shapes[f"{at}.lora_A.weight"] = (4, inputs)
      for head in range(2):
        shapes[f"{at}.lora_B{head}.weight"] = (outputs, 4)
  return shapes


def _drawn(shapes, seed=0):
  rng = np.random.default_rng(seed)
  made = {
    k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()
  }
  first = "encoder.layers.0.self_attn.relative_attention_bias.weight"
  for name in made:
    if name.endswith("relative_attention_bias.weight"):
      made[name] = made[first]
  return made


def _save(path, tensors, **more):
  torch.save({k: torch.tensor(x) for k, x in tensors.items()} | more, path)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
  """Folder of all sources, and their tensors by source."""
  folder = tmp_path_factory.mktemp("parts")
  sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
  found = {
    "llama": _saved(
      folder / "llama",
      transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
          **sizes, vocab_size=80, intermediate_size=96, rms_norm_eps=1e-5
        )
      ),
    ),
    "clip": _saved(
      folder / "clip",
      transformers.CLIPModel(
        transformers.CLIPConfig(
          vision_config=sizes
          | {"intermediate_size": 64, "image_size": 28, "patch_size": 14},
          text_config=sizes | {"intermediate_size": 64, "vocab_size": 10},
        )
      ),
    ),
    "beats": _drawn(_beats()),
    "projectors": _drawn(
      _projector("vl", "visual", 48)
      | _projector("al", "audio", 32)
      | _adapter()
    ),
  }
  engine = tokenizers.Tokenizer(
    tokenizers.models.BPE({chr(97 + i): i for i in range(20)}, [])
  )
  engine.add_special_tokens(["<unk>", "<s>", "</s>"])
  engine.save(str(folder / "llama" / "tokenizer.json"))
  model = {k: torch.tensor(x) for k, x in found["beats"].items()}
  torch.save({"cfg": _CFG, "model": model}, folder / "beats.pt")
  _save(folder / "finetune_weights.bin", found["projectors"])
  return folder, found


def _sources(folder, projectors=True):
  given = (folder / "finetune_weights.bin",) if projectors else ()
  return encoder_projector.Sources(
    folder / "llama", folder / "clip", folder / "beats.pt", given
  )


@pytest.fixture(scope="module")
def base(parts, tmp_path_factory):
  folder = parts[0]
  out = tmp_path_factory.mktemp("base") / "model"
  conversion.convert_parts(
    str(folder / "llama"),
    str(folder / "clip"),
    folder / "beats.pt",
    (folder / "finetune_weights.bin",),
    out,
  )
  return out


def test_every_source_lies_where_the_network_reads_it(parts, base):
  found = parts[1]
  config, params = (
    model_folder.load_config(base),
    model_folder.load_params(base),
  )
  assert config.decoder.boundary == (23, 17)
  assert (config.decoder.norm_epsilon, config.decoder.qkv_bias) == (1e-5, False)
  assert (config.vision.layers, config.vision.frame_size) == (1, 28)
  assert (config.audio.queries, config.audio.query_mlp) == (3, 24)
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  llama, clip, beats = (found[name] for name in ("llama", "clip", "beats"))
  projectors = found["projectors"]
  at = "encoder.layers.{}.self_attn"
  visual = "base_model.model.model.vl_projector.visual"
  layer = f"{visual}_Qformer.bert.encoder.layer.0"
  v, g = (beats[f"encoder.pos_conv.0.weight_{x}"] for x in "vg")
  expected = {
    "model/layers/mlp/up_proj/kernel": [
      llama[f"model.layers.{i}.mlp.up_proj.weight"].T for i in (0, 1)
    ],
    "model/embed_tokens/weight": llama["model.embed_tokens.weight"],
    "clip/tower/patch_embedding/kernel": clip[
      "vision_model.embeddings.patch_embedding.weight"
    ]
    .reshape(48, -1)
    .T,
    "clip/tower/position_embedding": clip[
      "vision_model.embeddings.position_embedding.weight"
    ],
    "clip/tower/layers/fc1/kernel": [
      clip["vision_model.encoder.layers.0.mlp.fc1.weight"].T
    ],
    "beats/tower/layers/self_attn/grep_a": [
      beats[f"{at.format(i)}.grep_a"].reshape(2) for i in (0, 1)
    ],
    "beats/tower/relative_attention_bias": beats[
      f"{at.format(1)}.relative_attention_bias.weight"
    ],
    "beats/tower/pos_conv/weight": (
      v * g / np.sqrt((v**2).sum((0, 1), keepdims=True))
    ).T,
    "clip/projector/query_tokens": projectors[f"{visual}_query_tokens"][0],
    "clip/projector/layers/crossattention/key/kernel": [
      projectors[f"{layer}.crossattention.self.key.weight"].T
    ],
    "clip/projector/layers/fc2/kernel": [
      projectors[f"{layer}.output_query.dense.weight"].T
    ],
    "clip/projector/proj_2/bias": projectors[f"{visual}_proj.2.bias"],
  }
  for path, values in expected.items():
    np.testing.assert_allclose(flat[path], np.array(values), rtol=1e-6), path
  boundary = flat["model/embed_tokens/boundary"]
  assert boundary.shape == (17, 48) and 0.015 < boundary.std() < 0.025


def test_its_tokenizer_has_the_added_tokens(base):
  config = model_folder.load_config(base)
  found = our_tokenizers.load(base / "tokenizer.json", front.of(config).grammar)
  assert [found.ids[x] for x in grammar.ADDED] == list(range(23, 40))
  assert found.size == config.decoder.boundary[0] + 17


def test_what_is_lost_or_left_out_is_said(parts, tmp_path):
  folder, found = parts
  more = {"lm_head.weight": np.ones((80, 48), np.float32)}
  _save(tmp_path / "pretrain.bin", found["projectors"] | more)
  sources = dataclasses.replace(
    _sources(folder), projectors=(tmp_path / "pretrain.bin",)
  )
  notes = "\n".join(encoder_projector.plan(sources).notes)
  assert "embeddings of the 17 added tokens are drawn anew" in notes
  # Two networks for text of six tensors each, two word tables, two classifiers.
  assert "16 tensors of the Q-Formers are for text" in notes
  assert "beats.pt: not used: predictor.weight, predictor.bias" in notes
  assert "of no projector: lm_head.weight" in notes
  assert "projector is drawn" not in notes


def test_projectors_that_are_not_given_are_drawn(parts):
  plan = encoder_projector.plan(_sources(parts[0], projectors=False))
  assert sum("projector is drawn" in note for note in plan.notes) == 2
  assert plan.model.vision.queries == 32
  [(_, kernel)] = plan.leaves["clip/projector/proj_0/kernel"].blocks()
  np.testing.assert_allclose(kernel.std(), 768**-0.5, rtol=0.05)
  [(_, norm)] = plan.leaves["beats/projector/norm/weight"].blocks()
  assert (norm == 1).all()


@pytest.mark.parametrize(("kind", "frames"), [("stc", 2), ("pooled", 10)])
def test_another_vision_projector_is_drawn(parts, kind, frames):
  sources = dataclasses.replace(
    _sources(parts[0], projectors=False), vision_projector=kind
  )
  plan = encoder_projector.plan(sources)
  vision = plan.model.vision
  assert (vision.projector, vision.unit_frames) == (kind, frames)
  assert "the vision projector is drawn" in "\n".join(plan.notes)
  top = "clip/projector/"
  names = {x for x in plan.leaves if x.startswith(top)}
  if kind == "pooled":
    assert names == {f"{top}proj/kernel", f"{top}proj/bias"}
    return
  [(_, taps)] = plan.leaves[f"{top}s1/b1/conv2/taps"].blocks()
  np.testing.assert_allclose(taps.std(), 1 / 3, rtol=0.1)
  [(_, norm)] = plan.leaves[f"{top}s2/b4/conv3/bn/weight"].blocks()
  assert (norm == 1).all()


def test_the_published_projectors_are_queries(parts):
  sources = dataclasses.replace(_sources(parts[0]), vision_projector="stc")
  with pytest.raises(errors.UserError, match="clip.projector.query_tokens"):
    encoder_projector.plan(sources)


def test_its_adapter_is_taken_apart_from_its_projectors(parts, base, tmp_path):
  folder, found = parts
  for name, model in (("of_base", base), ("alone", None)):
    out = tmp_path / name
    conversion.import_adapter(folder / "finetune_weights.bin", out, model, None)
    params, settings, _ = adapter.read(out)
    assert (settings.rank, settings.heads, settings.targets) == (4, 2, "lm")
    at = "base_model.model.model.layers.1.mlp.down_proj.lora_B1.weight"
    ours = params["model"]["layers"]["mlp"]["down_proj"]["lora_B"][1, 1]
    np.testing.assert_array_equal(ours, found["projectors"][at].T)
  conversion.export_adapter(tmp_path / "of_base", tmp_path / "out.bin", None)
  again = torch.load(tmp_path / "out.bin", weights_only=True)
  wanted = {k: x for k, x in found["projectors"].items() if "lora_" in k}
  assert set(again) == set(wanted)
  for name, values in wanted.items():
    np.testing.assert_array_equal(again[name].numpy(), values)


def _broken(parts, tmp_path, change):
  """The sources after `change` of tensors of BEATs, its cfg, projectors."""
  folder, found = parts
  tensors, cfg = dict(found["beats"]), dict(_CFG)
  projectors = dict(found["projectors"])
  change(tensors, cfg, projectors)
  model = {k: torch.tensor(x) for k, x in tensors.items()}
  torch.save({"cfg": cfg, "model": model}, tmp_path / "beats.pt")
  _save(tmp_path / "p.bin", projectors)
  return dataclasses.replace(
    _sources(folder),
    audio=tmp_path / "beats.pt",
    projectors=(tmp_path / "p.bin",),
  )


def test_all_that_does_not_fit_is_one_error(parts, tmp_path):
  def change(tensors, cfg, projectors):
    tensors["layer_norm.weight"] = np.ones(17, np.float32)
    del tensors["encoder.layers.1.fc1.bias"]
    tensors["encoder.layers.2.fc1.bias"] = np.ones(64, np.float32)
    del projectors["base_model.model.model.al_projector.audio_ln.weight"]

  with pytest.raises(errors.UserError) as error:
    encoder_projector.plan(_broken(parts, tmp_path, change))
  for culprit in (
    "2 missing: beats.tower.layers.1.fc1.bias, beats.projector.norm.weight",
    "1 unexpected: beats.tower.layers.2.fc1.bias",
    "beats.tower.layer_norm.weight (expected [16], got [17])",
  ):
    assert culprit in str(error.value)


_BIAS = "encoder.layers.1.self_attn.relative_attention_bias.weight"


@pytest.mark.parametrize(
  ("change", "culprit"),
  [
    (
      lambda tensors, cfg, _: tensors.update({_BIAS: tensors[_BIAS] + 1}),
      "relative_attention_bias of its layers differ",
    ),
    (
      lambda tensors, cfg, _: cfg.update(layer_norm_first=True),
      "layer_norm_first is True, and our network has False",
    ),
    (
      lambda tensors, cfg, _: cfg.pop("conv_pos"),
      "cfg of BEATs lacks conv_pos",
    ),
    (
      lambda tensors, cfg, projectors: projectors.clear(),
      "p.bin holds no projector",
    ),
  ],
)
def test_a_source_that_is_another_network_is_refused(
  parts, tmp_path, change, culprit
):
  with pytest.raises(errors.UserError, match=culprit):
    encoder_projector.plan(_broken(parts, tmp_path, change))


def test_values_that_are_not_finite_are_refused(tmp_path):
  values = np.array([1, np.nan], np.float32)
  held = encoder_projector._held(tmp_path / "a.bin", "norm", values)
  with pytest.raises(errors.UserError, match="norm holds values that are not"):
    held.read(0, 2)


def test_a_language_model_alone_says_what_it_needs(parts, tmp_path):
  with pytest.raises(errors.UserError, match="give --vision=CLIP and --audio"):
    conversion.convert_base(str(parts[0] / "llama"), tmp_path / "out")


def test_a_base_of_it_is_not_exported(base, tmp_path):
  with pytest.raises(errors.UserError, match="no network of CLIP, BEATs"):
    conversion.export_base(base, tmp_path / "out")


@pytest.mark.parametrize(
  ("change", "culprit"),
  [
    ({"model_type": "mistral"}, "model_type is 'mistral'"),
    ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
    ({"attention_bias": True}, "attention_bias is True"),
    ({"rope_scaling": {"type": "linear", "factor": 2}}, "rotary positions"),
    ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    ({"rms_norm_eps": "small"}, "rms_norm_eps is 'small'"),
  ],
)
def test_another_language_model_is_refused(change, culprit):
  with pytest.raises(ValueError, match=culprit):
    checkpoint_config.decoder({"model_type": "llama", **change})


def test_the_released_settings():
  llama = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
    "rms_norm_eps": 1e-5, "max_position_embeddings": 4096,
    "rope_scaling": None, "num_key_value_heads": 32,
  }  # fmt: skip
  qwen2 = {
    "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
    "num_hidden_layers": 28, "num_attention_heads": 28, "vocab_size": 152064,
    "rms_norm_eps": 1e-6, "max_position_embeddings": 32768,
    "rope_theta": 1000000.0, "num_key_value_heads": 4, "sliding_window": 131072,
    "use_sliding_window": False,
  }  # fmt: skip
  clip = {
    "model_type": "clip",
    "vision_config": {
      "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
      "num_attention_heads": 16, "patch_size": 14, "projection_dim": 768,
    },
  }  # fmt: skip
  cfg = _CFG | {
    "encoder_layers": 12, "encoder_embed_dim": 768, "embed_dim": 512,
    "encoder_ffn_embed_dim": 3072, "encoder_attention_heads": 12,
    "conv_pos": 128, "conv_pos_groups": 16, "num_buckets": 320,
    "max_distance": 800,
  }  # fmt: skip
  for fields, preset in (
    (llama, configs.clip_beats_llama2_7b()),
    (qwen2, configs.clip_beats_qwen2_7b()),
  ):
    found = checkpoint_config.decoder(json.loads(json.dumps(fields)))
    wanted = preset.decoder
    assert {**vars(found), "boundary": wanted.boundary} == vars(wanted)
  preset = configs.clip_beats_llama2_7b()
  assert checkpoint_config.clip(clip) == preset.vision
  assert checkpoint_config.beats(cfg) == preset.audio
