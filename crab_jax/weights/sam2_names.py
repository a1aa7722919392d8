"""Which tensors of a SAM 2.1 checkpoint make which parameter.

Two namings: that of transformers (`Sam2Model`, `Sam2VideoModel`), and that of
the released .pt files. Tensors of the video's memory are known by name and not
read.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from crab_jax import configs


@dataclasses.dataclass(frozen=True)
class Layout:
  """How a tensor of torch lies in our tree: its axes moved, ones dropped.

  Attributes:
    axes: our axis -> theirs.
    ones: how many axes of one they have besides, before or behind.
    before: whether those come first.
  """

  axes: tuple[int, ...]
  ones: int = 0
  before: bool = False

  def ours(self, x: np.ndarray) -> np.ndarray:
    """Their tensor as ours."""
    shape = x.shape[self.ones :] if self.before else x.shape[: len(self.axes)]
    return x.reshape(shape).transpose(self.axes)

  def torch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of their tensor, from that of ours."""
    found = [shape[self.axes.index(axis)] for axis in range(len(shape))]
    ones = [1] * self.ones
    return (*ones, *found) if self.before else (*found, *ones)

  def theirs(self, x: np.ndarray) -> np.ndarray:
    """Our parameter as theirs."""
    turned = x.transpose([self.axes.index(n) for n in range(x.ndim)])
    return turned.reshape(self.torch_shape(x.shape))


_VECTOR = Layout((0,))
_MATRIX = Layout((0, 1))
_LINEAR = Layout((1, 0))  # [out, in]
_CONV = Layout((2, 3, 1, 0))  # [out, in, h, w]
_POINTWISE = Layout((1, 0), ones=2)  # [out, in, 1, 1]
_DOUBLED = Layout((0, 2, 3, 1))  # [in, out, 2, 2]
_MAP = Layout((1, 2, 0), ones=1, before=True)  # [1, D, h, w]
_TOKEN = Layout((0,), ones=1, before=True)  # [1, D]
_NO_MEMORY = Layout((0,), ones=2, before=True)  # [1, 1, D]


@dataclasses.dataclass(frozen=True)
class Row:
  """One parameter.

  Attributes:
    path: of our tree, "a/b/c".
    hf: the tensor's name in transformers.
    released: the tensors of the released file, joined along the first axis.
    layout: of the tensor that the parts make, or of the one.
  """

  path: str
  hf: str
  released: tuple[str, ...]
  layout: Layout

  @property
  def hf_names(self) -> tuple[str, ...]:
    """All tensors of transformers that hold the parameter."""
    twice = self.hf == HF_FIRST_GAUSSIAN
    return (self.hf, HF_GAUSSIAN) if twice else (self.hf,)


# Names that begin a tensor of the path through a video's memory.
VIDEO = (
  "memory_", "mask_downsample.", "object_pointer_proj.",
  "temporal_positional_encoding_projection_layer.", "no_memory_positional_",
  "no_object_pointer", "occlusion_spatial_embedding_parameter",
  "maskmem_tpos_enc", "no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial",
  "obj_ptr_proj.", "obj_ptr_tpos_proj.",
)  # fmt: skip
# Where transformers keeps the frequencies a second time.
HF_FIRST_GAUSSIAN = "shared_image_embedding.positional_embedding"
HF_GAUSSIAN = "prompt_encoder.shared_embedding.positional_embedding"


def rows(config: configs.Sam2) -> Iterator[Row]:
  """The parameters of a network of these shapes."""
  yield from _trunk(config)
  for level in range(len(config.blocks)):
    # The checkpoint counts its convolutions from the deepest map.
    number = len(config.blocks) - 1 - level
    yield from _weighted(
      f"neck/lateral_{level}",
      f"vision_encoder.neck.convs.{number}",
      f"image_encoder.neck.convs.{number}.conv",
      _POINTWISE,
    )
  yield Row(
    "pe_gaussian",
    HF_FIRST_GAUSSIAN,
    ("sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",),
    _MATRIX,
  )
  yield Row(
    "no_mem_embed", "no_memory_embedding", ("no_mem_embed",), _NO_MEMORY
  )
  yield from _prompt_encoder()
  yield from _mask_decoder()


def _weighted(
  path: str, hf: str, released: str, layout: Layout, weight: str = "kernel"
) -> Iterator[Row]:
  """A weight and its bias."""
  yield Row(f"{path}/{weight}", f"{hf}.weight", (f"{released}.weight",), layout)
  yield Row(f"{path}/bias", f"{hf}.bias", (f"{released}.bias",), _VECTOR)


def _norm(path: str, hf: str, released: str) -> Iterator[Row]:
  yield from _weighted(path, hf, released, _VECTOR, "scale")


def _trunk(config: configs.Sam2) -> Iterator[Row]:
  hf, released = "vision_encoder.backbone", "image_encoder.trunk"
  yield from _weighted(
    "trunk/patch_embed",
    f"{hf}.patch_embed.projection",
    f"{released}.patch_embed.proj",
    _CONV,
  )
  for name in ("pos_embed", "pos_embed_window"):
    yield Row(f"trunk/{name}", f"{hf}.{name}", (f"{released}.{name}",), _MAP)
  projected = set(itertools.accumulate(config.blocks[:-1]))
  for block in range(sum(config.blocks)):
    own = f"trunk/block_{block}"
    theirs, orig = f"{hf}.blocks.{block}", f"{released}.blocks.{block}"
    for number in (1, 2):
      yield from _norm(
        f"{own}/norm{number}",
        f"{theirs}.layer_norm{number}",
        f"{orig}.norm{number}",
      )
    linears = {
      "attn_qkv": ("attn.qkv", "attn.qkv"),
      "attn_proj": ("attn.proj", "attn.proj"),
      "mlp_fc1": ("mlp.proj_in", "mlp.layers.0"),
      "mlp_fc2": ("mlp.proj_out", "mlp.layers.1"),
    }
    if block in projected:
      linears["proj"] = ("proj", "proj")
    for name, (new, old) in linears.items():
      yield from _weighted(
        f"{own}/{name}", f"{theirs}.{new}", f"{orig}.{old}", _LINEAR
      )


def _prompt_encoder() -> Iterator[Row]:
  own, hf, released = "prompt_encoder", "prompt_encoder", "sam_prompt_encoder"
  yield Row(
    f"{own}/point_embed",
    f"{hf}.point_embed.weight",
    tuple(f"{released}.point_embeddings.{n}.weight" for n in range(4)),
    _MATRIX,
  )
  for name in ("not_a_point_embed", "no_mask_embed"):
    yield Row(
      f"{own}/{name}",
      f"{hf}.{name}.weight",
      (f"{released}.{name}.weight",),
      _TOKEN,
    )
  parts = (("conv1", "0"), ("conv2", "3"), ("conv3", "6"))
  for name, place in parts:
    yield from _weighted(
      f"{own}/mask_{name}",
      f"{hf}.mask_embed.{name}",
      f"{released}.mask_downscaling.{place}",
      _POINTWISE if name == "conv3" else _CONV,
    )
  for number, place in ((1, "1"), (2, "4")):
    yield from _norm(
      f"{own}/mask_norm{number}",
      f"{hf}.mask_embed.layer_norm{number}",
      f"{released}.mask_downscaling.{place}",
    )


def _mask_decoder() -> Iterator[Row]:
  own, hf, released = "mask_decoder", "mask_decoder", "sam_mask_decoder"
  for name in ("obj_score_token", "iou_token", "mask_tokens"):
    yield Row(
      f"{own}/{name}",
      f"{hf}.{name}.weight",
      (f"{released}.{name}.weight",),
      _MATRIX,
    )
  yield from _transformer(
    f"{own}/transformer", f"{hf}.transformer", f"{released}.transformer"
  )
  yield from _weighted(
    f"{own}/up1", f"{hf}.upscale_conv1", f"{released}.output_upscaling.0",
    _DOUBLED,
  )  # fmt: skip
  yield from _norm(
    f"{own}/up_norm",
    f"{hf}.upscale_layer_norm",
    f"{released}.output_upscaling.1",
  )
  yield from _weighted(
    f"{own}/up2", f"{hf}.upscale_conv2", f"{released}.output_upscaling.3",
    _DOUBLED,
  )  # fmt: skip
  for name in ("conv_s0", "conv_s1"):
    yield from _weighted(
      f"{own}/{name}", f"{hf}.{name}", f"{released}.{name}", _POINTWISE
    )
  heads = {f"hyper_{n}": f"output_hypernetworks_mlps.{n}" for n in range(4)} | {
    "iou_head": "iou_prediction_head",
    "obj_head": "pred_obj_score_head",
  }
  for name, theirs in heads.items():
    layers = ("proj_in", "layers.0", "proj_out")
    for number, layer in enumerate(layers):
      yield from _weighted(
        f"{own}/{name}/fc{number + 1}",
        f"{hf}.{theirs}.{layer}",
        f"{released}.{theirs}.layers.{number}",
        _LINEAR,
      )


_ATTENTIONS = {
  "self_attn": "self_attn",
  "token_to_image": "cross_attn_token_to_image",
  "image_to_token": "cross_attn_image_to_token",
}


def _transformer(own: str, hf: str, released: str) -> Iterator[Row]:
  for layer in range(2):
    ours = f"{own}/layer_{layer}"
    theirs, orig = f"{hf}.layers.{layer}", f"{released}.layers.{layer}"
    for name, long in _ATTENTIONS.items():
      yield from _attention(
        f"{ours}/{name}", f"{theirs}.{long}", f"{orig}.{long}"
      )
    for number in range(1, 5):
      yield from _norm(
        f"{ours}/norm{number}",
        f"{theirs}.layer_norm{number}",
        f"{orig}.norm{number}",
      )
    for number, name in enumerate(("proj_in", "proj_out")):
      yield from _weighted(
        f"{ours}/mlp/fc{number + 1}",
        f"{theirs}.mlp.{name}",
        f"{orig}.mlp.layers.{number}",
        _LINEAR,
      )
  last = "final_attn_token_to_image"
  yield from _attention(
    f"{own}/final_token_to_image", f"{hf}.{last}", f"{released}.{last}"
  )
  yield from _norm(
    f"{own}/norm_final",
    f"{hf}.layer_norm_final_attn",
    f"{released}.norm_final_attn",
  )


def _attention(own: str, hf: str, released: str) -> Iterator[Row]:
  for name in "qkvo":
    old = "out_proj" if name == "o" else f"{name}_proj"
    yield from _weighted(
      f"{own}/{name}", f"{hf}.{name}_proj", f"{released}.{old}", _LINEAR
    )
