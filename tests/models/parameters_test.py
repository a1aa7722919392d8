"""Names, shapes, logical axes and numbers of parameters, without arrays."""

import dataclasses

import flax.traverse_util
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax.models import axes
from crab_jax.paradigms import thinker

# path: (shape, logical axes), of configs.tiny with an adapter of rank 8.
TINY = {
  "audio_tower/conv1/bias": ((64,), "tower_embed"),
  "audio_tower/conv1/kernel": ((3, 64, 64), "window patch_inputs tower_embed"),
  "audio_tower/conv2/bias": ((64,), "tower_embed"),
  "audio_tower/conv2/kernel": ((3, 64, 64), "window tower_mlp tower_embed"),
  "audio_tower/layers/fc1/bias": ((1, 128), "layers tower_mlp"),
  "audio_tower/layers/fc1/kernel": (
    (1, 64, 128),
    "layers tower_embed tower_mlp",
  ),
  "audio_tower/layers/fc2/bias": ((1, 64), "layers tower_embed"),
  "audio_tower/layers/fc2/kernel": (
    (1, 128, 64),
    "layers tower_mlp tower_embed",
  ),
  "audio_tower/layers/final_layer_norm/bias": ((1, 64), "layers norm"),
  "audio_tower/layers/final_layer_norm/weight": ((1, 64), "layers norm"),
  "audio_tower/layers/self_attn/k_proj/kernel": (
    (1, 64, 64),
    "layers tower_embed tower_heads",
  ),
  "audio_tower/layers/self_attn/k_proj/lora_A": (
    (1, 64, 8),
    "layers tower_embed rank",
  ),
  "audio_tower/layers/self_attn/k_proj/lora_B": (
    (1, 3, 8, 64),
    "layers lora_heads rank tower_heads",
  ),
  "audio_tower/layers/self_attn/k_proj/lora_route": (
    (1, 64, 3),
    "layers tower_embed lora_heads",
  ),
  "audio_tower/layers/self_attn/out_proj/bias": ((1, 64), "layers tower_embed"),
  "audio_tower/layers/self_attn/out_proj/kernel": (
    (1, 64, 64),
    "layers tower_heads tower_embed",
  ),
  "audio_tower/layers/self_attn/q_proj/bias": ((1, 64), "layers tower_heads"),
  "audio_tower/layers/self_attn/q_proj/kernel": (
    (1, 64, 64),
    "layers tower_embed tower_heads",
  ),
  "audio_tower/layers/self_attn/q_proj/lora_A": (
    (1, 64, 8),
    "layers tower_embed rank",
  ),
  "audio_tower/layers/self_attn/q_proj/lora_B": (
    (1, 3, 8, 64),
    "layers lora_heads rank tower_heads",
  ),
  "audio_tower/layers/self_attn/q_proj/lora_route": (
    (1, 64, 3),
    "layers tower_embed lora_heads",
  ),
  "audio_tower/layers/self_attn/v_proj/bias": ((1, 64), "layers tower_heads"),
  "audio_tower/layers/self_attn/v_proj/kernel": (
    (1, 64, 64),
    "layers tower_embed tower_heads",
  ),
  "audio_tower/layers/self_attn/v_proj/lora_A": (
    (1, 64, 8),
    "layers tower_embed rank",
  ),
  "audio_tower/layers/self_attn/v_proj/lora_B": (
    (1, 3, 8, 64),
    "layers lora_heads rank tower_heads",
  ),
  "audio_tower/layers/self_attn/v_proj/lora_route": (
    (1, 64, 3),
    "layers tower_embed lora_heads",
  ),
  "audio_tower/layers/self_attn_layer_norm/bias": ((1, 64), "layers norm"),
  "audio_tower/layers/self_attn_layer_norm/weight": ((1, 64), "layers norm"),
  "audio_tower/ln_post/bias": ((64,), "norm"),
  "audio_tower/ln_post/weight": ((64,), "norm"),
  "audio_tower/proj/bias": ((128,), "embed"),
  "audio_tower/proj/kernel": ((64, 128), "tower_mlp embed"),
  "lm_head/kernel": ((128, 2048), "embed vocab"),
  "model/embed_tokens/weight": ((2048, 128), "vocab embed"),
  "model/layers/input_layernorm/weight": ((4, 128), "layers norm"),
  "model/layers/mlp/down_proj/kernel": ((4, 384, 128), "layers mlp embed"),
  "model/layers/mlp/down_proj/lora_A": ((4, 384, 8), "layers mlp rank"),
  "model/layers/mlp/down_proj/lora_B": (
    (4, 3, 8, 128),
    "layers lora_heads rank embed",
  ),
  "model/layers/mlp/down_proj/lora_route": (
    (4, 384, 3),
    "layers mlp lora_heads",
  ),
  "model/layers/mlp/gate_proj/kernel": ((4, 128, 384), "layers embed mlp"),
  "model/layers/mlp/gate_proj/lora_A": ((4, 128, 8), "layers embed rank"),
  "model/layers/mlp/gate_proj/lora_B": (
    (4, 3, 8, 384),
    "layers lora_heads rank mlp",
  ),
  "model/layers/mlp/gate_proj/lora_route": (
    (4, 128, 3),
    "layers embed lora_heads",
  ),
  "model/layers/mlp/up_proj/kernel": ((4, 128, 384), "layers embed mlp"),
  "model/layers/mlp/up_proj/lora_A": ((4, 128, 8), "layers embed rank"),
  "model/layers/mlp/up_proj/lora_B": (
    (4, 3, 8, 384),
    "layers lora_heads rank mlp",
  ),
  "model/layers/mlp/up_proj/lora_route": (
    (4, 128, 3),
    "layers embed lora_heads",
  ),
  "model/layers/post_attention_layernorm/weight": ((4, 128), "layers norm"),
  "model/layers/self_attn/k_proj/bias": ((4, 64), "layers kv_heads"),
  "model/layers/self_attn/k_proj/kernel": (
    (4, 128, 64),
    "layers embed kv_heads",
  ),
  "model/layers/self_attn/k_proj/lora_A": ((4, 128, 8), "layers embed rank"),
  "model/layers/self_attn/k_proj/lora_B": (
    (4, 3, 8, 64),
    "layers lora_heads rank kv_heads",
  ),
  "model/layers/self_attn/k_proj/lora_route": (
    (4, 128, 3),
    "layers embed lora_heads",
  ),
  "model/layers/self_attn/o_proj/kernel": ((4, 128, 128), "layers heads embed"),
  "model/layers/self_attn/o_proj/lora_A": ((4, 128, 8), "layers heads rank"),
  "model/layers/self_attn/o_proj/lora_B": (
    (4, 3, 8, 128),
    "layers lora_heads rank embed",
  ),
  "model/layers/self_attn/o_proj/lora_route": (
    (4, 128, 3),
    "layers heads lora_heads",
  ),
  "model/layers/self_attn/q_proj/bias": ((4, 128), "layers heads"),
  "model/layers/self_attn/q_proj/kernel": ((4, 128, 128), "layers embed heads"),
  "model/layers/self_attn/q_proj/lora_A": ((4, 128, 8), "layers embed rank"),
  "model/layers/self_attn/q_proj/lora_B": (
    (4, 3, 8, 128),
    "layers lora_heads rank heads",
  ),
  "model/layers/self_attn/q_proj/lora_route": (
    (4, 128, 3),
    "layers embed lora_heads",
  ),
  "model/layers/self_attn/v_proj/bias": ((4, 64), "layers kv_heads"),
  "model/layers/self_attn/v_proj/kernel": (
    (4, 128, 64),
    "layers embed kv_heads",
  ),
  "model/layers/self_attn/v_proj/lora_A": ((4, 128, 8), "layers embed rank"),
  "model/layers/self_attn/v_proj/lora_B": (
    (4, 3, 8, 64),
    "layers lora_heads rank kv_heads",
  ),
  "model/layers/self_attn/v_proj/lora_route": (
    (4, 128, 3),
    "layers embed lora_heads",
  ),
  "model/norm/weight": ((128,), "norm"),
  "visual/blocks/attn/k/bias": ((2, 64), "layers tower_heads"),
  "visual/blocks/attn/k/kernel": (
    (2, 64, 64),
    "layers tower_embed tower_heads",
  ),
  "visual/blocks/attn/proj/bias": ((2, 64), "layers tower_embed"),
  "visual/blocks/attn/proj/kernel": (
    (2, 64, 64),
    "layers tower_heads tower_embed",
  ),
  "visual/blocks/attn/q/bias": ((2, 64), "layers tower_heads"),
  "visual/blocks/attn/q/kernel": (
    (2, 64, 64),
    "layers tower_embed tower_heads",
  ),
  "visual/blocks/attn/v/bias": ((2, 64), "layers tower_heads"),
  "visual/blocks/attn/v/kernel": (
    (2, 64, 64),
    "layers tower_embed tower_heads",
  ),
  "visual/blocks/mlp/down_proj/bias": ((2, 64), "layers tower_embed"),
  "visual/blocks/mlp/down_proj/kernel": (
    (2, 192, 64),
    "layers tower_mlp tower_embed",
  ),
  "visual/blocks/mlp/down_proj/lora_A": ((2, 192, 8), "layers tower_mlp rank"),
  "visual/blocks/mlp/down_proj/lora_B": (
    (2, 3, 8, 64),
    "layers lora_heads rank tower_embed",
  ),
  "visual/blocks/mlp/down_proj/lora_route": (
    (2, 192, 3),
    "layers tower_mlp lora_heads",
  ),
  "visual/blocks/mlp/gate_proj/bias": ((2, 192), "layers tower_mlp"),
  "visual/blocks/mlp/gate_proj/kernel": (
    (2, 64, 192),
    "layers tower_embed tower_mlp",
  ),
  "visual/blocks/mlp/gate_proj/lora_A": ((2, 64, 8), "layers tower_embed rank"),
  "visual/blocks/mlp/gate_proj/lora_B": (
    (2, 3, 8, 192),
    "layers lora_heads rank tower_mlp",
  ),
  "visual/blocks/mlp/gate_proj/lora_route": (
    (2, 64, 3),
    "layers tower_embed lora_heads",
  ),
  "visual/blocks/mlp/up_proj/bias": ((2, 192), "layers tower_mlp"),
  "visual/blocks/mlp/up_proj/kernel": (
    (2, 64, 192),
    "layers tower_embed tower_mlp",
  ),
  "visual/blocks/mlp/up_proj/lora_A": ((2, 64, 8), "layers tower_embed rank"),
  "visual/blocks/mlp/up_proj/lora_B": (
    (2, 3, 8, 192),
    "layers lora_heads rank tower_mlp",
  ),
  "visual/blocks/mlp/up_proj/lora_route": (
    (2, 64, 3),
    "layers tower_embed lora_heads",
  ),
  "visual/blocks/norm1/weight": ((2, 64), "layers norm"),
  "visual/blocks/norm2/weight": ((2, 64), "layers norm"),
  "visual/merger/ln_q/weight": ((64,), "norm"),
  "visual/merger/mlp_0/bias": ((256,), "tower_mlp"),
  "visual/merger/mlp_0/kernel": ((256, 256), "tower_embed tower_mlp"),
  "visual/merger/mlp_2/bias": ((128,), "embed"),
  "visual/merger/mlp_2/kernel": ((256, 128), "tower_mlp embed"),
  "visual/patch_embed/proj/kernel": ((4704, 64), "patch_inputs tower_embed"),
}


def _flat(config):
  abstract = thinker.abstract(config)
  shapes = flax.traverse_util.flatten_dict(nn.meta.unbox(abstract), sep="/")
  specs = nn.get_partition_spec(abstract)
  return shapes, flax.traverse_util.flatten_dict(specs, sep="/")


def _counts(config):
  """Parameters by top name: (base, adapter)."""
  base, adapter = {}, {}
  for path, leaf in _flat(config)[0].items():
    part = adapter if "/lora_" in path else base
    top = path.split("/")[0]
    part[top] = part.get(top, 0) + leaf.size
  return base, adapter


def test_the_tiny_tree():
  lora = configs.ILora(rank=8, heads=3, alpha=16.0)
  shapes, specs = _flat(configs.tiny(adapter=lora))
  found = {
    path: (leaf.shape, " ".join(specs[path])) for path, leaf in shapes.items()
  }
  assert found == TINY


def test_base_paths_do_not_depend_on_the_adapter():
  plain, _ = _flat(configs.tiny())
  adapted, _ = _flat(configs.tiny(adapter=configs.ILora()))
  assert set(plain) == {path for path in adapted if "/lora_" not in path}


@pytest.mark.parametrize("config", [configs.tiny(), configs.qwen2_5_omni_7b()])
def test_every_axis_is_in_the_legend(config):
  for path, spec in _flat(config)[1].items():
    assert set(spec) <= set(axes.PARAMETERS), path


# The checkpoint's `audio_bos_eos_token` [2, decoder width] is never read and
# has no parameter here: it is the difference to the published totals.
@pytest.mark.parametrize(
  ("config", "unused", "parts", "published"),
  [
    (
      configs.qwen2_5_omni_7b(),
      2 * 3584,
      (639_647_232, 676_550_144, 7_070_619_136, 544_997_376),
      8_931_813_888,
    ),
    (
      configs.qwen2_5_omni_3b(),
      2 * 2048,
      (637_676_544, 668_684_288, 3_085_938_688, 311_164_928),
      4_703_464_448,
    ),
  ],
)
def test_base_parameters(config, unused, parts, published):
  base, adapter = _counts(config)
  names = ("audio_tower", "visual", "model", "lm_head")
  audio, *others = parts
  expected = (audio - unused, *others)
  assert base == dict(zip(names, expected, strict=True))
  assert sum(base.values()) + unused == published
  assert not adapter


@pytest.mark.parametrize(
  ("changes", "decoder", "towers"),
  [
    ({}, 682_350_592, 63_283_200 + 124_846_720),
    ({"targets": "lm"}, 682_350_592, 0),
    ({"heads": 1}, 322_961_408, 412_172_288 - 322_961_408),
    ({"router": "uniform"}, 682_350_592 - 3 * 1_132_544, None),
    ({"shared_a": False}, 972_281_856, None),
  ],
)
def test_adapter_parameters_of_7b(changes, decoder, towers):
  lora = dataclasses.replace(configs.ILora(), **changes)
  _, adapter = _counts(configs.qwen2_5_omni_7b(adapter=lora))
  assert adapter["model"] == decoder
  if towers is not None:
    found = adapter.get("audio_tower", 0) + adapter.get("visual", 0)
    assert found == towers


def test_adapter_parameters_of_3b():
  _, adapter = _counts(configs.qwen2_5_omni_3b(adapter=configs.ILora()))
  assert adapter == {
    "audio_tower": 63_283_200,
    "visual": 124_846_720,
    "model": 506_225_664,
  }


def test_number_of_adapted_projections_of_7b():
  shapes, _ = _flat(configs.qwen2_5_omni_7b(adapter=configs.ILora()))
  layers = {}
  for path, leaf in shapes.items():
    if path.endswith("/lora_A"):
      top = path.split("/")[0]
      layers[top] = layers.get(top, 0) + leaf.shape[0]
  assert layers == {"audio_tower": 96, "visual": 96, "model": 196}
