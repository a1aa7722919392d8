"""The second of the two tables of AV-LLM families: what needs flax.

Keyed, as `paradigms.front`, by the class of `Model.vision`.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping

from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.paradigms import names
from crab_jax.paradigms import stacks
from crab_jax.paradigms.encoder_projector import encoders
from crab_jax.paradigms.encoder_projector import (
  flops as encoder_projector_flops,
)
from crab_jax.paradigms.encoder_projector import (
  names as encoder_projector_names,
)
from crab_jax.paradigms.qwen2_5_omni import audio_tower
from crab_jax.paradigms.qwen2_5_omni import flops as qwen2_5_omni_flops
from crab_jax.paradigms.qwen2_5_omni import names as qwen2_5_omni_names
from crab_jax.paradigms.qwen2_5_omni import vision_tower

# What a parameter belongs to. "boundary": embeddings of a family's own, which
# stand before and behind clips.
GROUPS = ("towers", "projectors", "boundary", "lm")


@dataclasses.dataclass(frozen=True)
class Network:
  """The encoders of a family, with their projectors, and what they are called.

  Attributes:
    vision: a module of `configs.Model`; called with units uint8[B, V,
      unit_frames, H, W, 3] and a `TokenContext` at encoder positions [B, V,
      unit_positions], it gives tokens [B, V, unit_tokens, D].
    audio: the same of units [B, C, unit_frames, bins] and their lengths
      int32[B, C]; only the first `tokens_of(lengths)` tokens of a unit count.
    vision_path: top of its parameters in the tree.
    audio_path: the same of audio.
    groups: (beginning of a path, one of `GROUPS`); the first that fits counts.
      What no row names is "lm".
    labels: top of the tree -> what people call it.
    encoders: what planning counts.
    checkpoint: how published weights are read; None: there are none.
  """

  vision: type[nn.Module]
  audio: type[nn.Module]
  vision_path: str
  audio_path: str
  groups: tuple[tuple[str, str], ...]
  labels: Mapping[str, str]
  encoders: Callable[[configs.Model, configs.Rows], stacks.Encoders]
  checkpoint: names.Checkpoint | None = None

  @property
  def paths(self) -> tuple[str, str]:
    """Tops of the tree that the language model does not read."""
    return self.audio_path, self.vision_path

  def group(self, path: str) -> str:
    """One of `GROUPS`: what the parameter at "a/b/c" belongs to."""
    for beginning, group in self.groups:
      if path == beginning or path.startswith(f"{beginning}/"):
        return group
    return "lm"


FAMILIES: dict[type[configs.VisionUnits], Network] = {
  configs.VisionTower: Network(
    vision=vision_tower.VisionTower,
    audio=audio_tower.AudioTower,
    vision_path="visual",
    audio_path="audio_tower",
    groups=(
      ("visual/merger", "projectors"),
      ("visual", "towers"),
      ("audio_tower/proj", "projectors"),
      ("audio_tower", "towers"),
    ),
    labels={"visual": "vision tower", "audio_tower": "audio tower"},
    encoders=qwen2_5_omni_flops.encoders,
    checkpoint=qwen2_5_omni_names.CHECKPOINT,
  ),
  configs.ClipVision: Network(
    vision=encoders.VisionEncoder,
    audio=encoders.AudioEncoder,
    vision_path="clip",
    audio_path="beats",
    groups=(
      ("clip/projector", "projectors"),
      ("clip", "towers"),
      ("beats/projector", "projectors"),
      ("beats", "towers"),
      ("model/embed_tokens/boundary", "boundary"),
    ),
    labels={"clip": "vision tower", "beats": "audio tower"},
    encoders=encoder_projector_flops.encoders,
    checkpoint=encoder_projector_names.CHECKPOINT,
  ),
}


def of(model: configs.Model) -> Network:
  """The row of a model's family; `front.of` says what is wrong with others."""
  return FAMILIES[type(model.vision)]


def converted() -> list[tuple[Network, names.Checkpoint]]:
  """The families whose published weights can be read."""
  found = ((row, row.checkpoint) for row in FAMILIES.values())
  return [(row, table) for row, table in found if table is not None]


def checkpoint_of(model: configs.Model) -> names.Checkpoint:
  """How published weights of a model's family are read.

  Raises:
    UserError: there are none.
  """
  found = of(model).checkpoint
  if found is None:
    name = type(model.vision).__name__
    raise errors.UserError(f"the family of {name} has no published weights")
  return found


def group(path: str) -> str:
  """One of `GROUPS`: what the parameter at `path` belongs to.

  Families that give one name to the top of a tree mean the same by it.
  """
  for family in FAMILIES.values():
    if (found := family.group(path)) != "lm":
      return found
  return "lm"


def label(path: str) -> str:
  """What people call the part of a model that the parameter at `path` is in.

  Families that give one name to the top of a tree mean the same by it.
  """
  top = path.split("/")[0]
  for family in FAMILIES.values():
    if top in family.labels:
      return family.labels[top]
  return "language model"
