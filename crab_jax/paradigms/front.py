"""The first of the two tables of AV-LLM families: what worker processes need.

numpy only: the data path imports this and nothing else of `paradigms`. The
other table, `paradigms.network`, holds what flax needs. Both are keyed by the
class of `Model.vision`.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax.array_types import Int
from crab_jax.data import grammar
from crab_jax.data import positions
from crab_jax.paradigms.encoder_projector import (
  front_end as encoder_projector_front_end,
)
from crab_jax.paradigms.encoder_projector import (
  grammar as encoder_projector_grammar,
)
from crab_jax.paradigms.qwen2_5_omni import front_end as qwen2_5_omni_front_end
from crab_jax.paradigms.qwen2_5_omni import grammar as qwen2_5_omni_grammar


@dataclasses.dataclass(frozen=True)
class Front:
  """What a family does before its network.

  Attributes:
    name: in model.json; never changes.
    audio: the class of `Model.audio`.
    audio_units: (waveform float32[S] at 16 kHz, `Model.audio`, equal parts that
      it is made of) -> units float32[U, unit_frames, bins] with zeros behind
      the last frame, and int32[U], the frames of each: `unit_lengths`.
    vision_units: (encoded frames, `Model.vision`) -> units uint8[U,
      unit_frames, frame_size, frame_size, 3], RGB. Raises ValueError if a
      frame does not decode.
    grammar: how conversations are written.
    positions: (runs, seconds a vision unit, positions a second) -> int32[T, 3].
    former_names: field of audio or vision settings in old model.json files ->
      its name today.
  """

  name: str
  audio: type[configs.AudioUnits]
  audio_units: Callable[..., tuple[np.ndarray, np.ndarray]]
  vision_units: Callable[..., np.ndarray]
  grammar: grammar.Grammar
  positions: Callable[..., Int[np.ndarray, "T 3"]]
  former_names: Mapping[str, str] = dataclasses.field(default_factory=dict)


FAMILIES: dict[type[configs.VisionUnits], Front] = {
  configs.VisionTower: Front(
    name="qwen2_5_omni",
    audio=configs.AudioTower,
    audio_units=qwen2_5_omni_front_end.mel_chunks,
    vision_units=qwen2_5_omni_front_end.frame_units,
    grammar=qwen2_5_omni_grammar.GRAMMAR,
    positions=positions.position_ids,
    former_names={
      "mel_bins": "bins",
      "chunk_frames": "unit_frames",
      "temporal_patch": "unit_frames",
    },
  ),
  configs.ClipVision: Front(
    name="encoder_projector",
    audio=configs.BeatsAudio,
    audio_units=encoder_projector_front_end.audio_units,
    vision_units=qwen2_5_omni_front_end.frame_units,
    grammar=encoder_projector_grammar.LLAMA2,
    positions=positions.position_ids,
  ),
}


def of(model: configs.Model) -> Front:
  """The row of a model's family.

  Raises:
    UserError: its encoders are of no family, or of two.
  """
  family = FAMILIES.get(type(model.vision))
  if family is None or not isinstance(model.audio, family.audio):
    raise errors.UserError(
      f"Model.vision={type(model.vision).__name__} and"
      f" Model.audio={type(model.audio).__name__} are not the encoders of one"
      f" family of {', '.join(row.name for row in FAMILIES.values())}"
    )
  return family


def named(name: str) -> tuple[type[configs.VisionUnits], Front]:
  """The class of `Model.vision` and the row of a family.

  Raises:
    ValueError: there is no family of that name.
  """
  for vision, family in FAMILIES.items():
    if family.name == name:
      return vision, family
  known = ", ".join(family.name for family in FAMILIES.values())
  raise ValueError(f"no AV-LLM family is named {name!r}; known: {known}")
