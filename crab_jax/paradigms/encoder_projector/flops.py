"""FLOPs of the encoders and projectors."""

from crab_jax import configs
from crab_jax.configs import encoder_projector
from crab_jax.paradigms import stacks
from crab_jax.paradigms.encoder_projector import stc

_ADAPTED = ("q_proj", "k_proj", "v_proj")


def encoders(model: configs.Model, rows: configs.Rows) -> stacks.Encoders:
  """Both towers, and what lies before and behind them."""
  vision = configs.ClipVision.of(model.vision)
  audio = configs.BeatsAudio.of(model.audio)
  frames = rows.frame_pairs * vision.unit_frames
  keys = vision.patches + 1
  patches = rows.chunks * audio.unit_positions
  seen = _stack(vision.layers, vision.width, vision.mlp, frames * keys, keys)
  heard = _stack(
    audio.layers, audio.width, audio.mlp, patches, audio.unit_positions
  )
  first = 2.0 * frames * vision.patches * 3 * vision.patch**2 * vision.width
  taps = audio.conv_taps * audio.width // audio.conv_groups
  inputs = audio.patch**2 * audio.embed + (audio.embed + taps) * audio.width
  first += 2.0 * patches * inputs
  width = model.decoder.width
  if vision.projector == "qformer":
    last = frames * _queries(vision, vision.patches, vision.width, width)
  elif vision.projector == "stc":
    last = rows.frame_pairs * _convolutions(vision, width)
  else:
    last = 2.0 * rows.frame_pairs * vision.unit_tokens * vision.width * width
  last += rows.chunks * _queries(
    audio, audio.unit_positions, audio.width, width
  )
  return stacks.Encoders((seen, heard), first, last)


def _stack(
  layers: int, width: int, mlp: int, positions: int, keys: int
) -> stacks.Stack:
  shapes = {name: (width, width) for name in (*_ADAPTED, "out_proj")}
  shapes |= {"fc1": (width, mlp), "fc2": (mlp, width)}
  return stacks.Stack(positions, layers, shapes, _ADAPTED, keys, width)


def _convolutions(vision: configs.ClipVision, width: int) -> float:
  """Forward FLOPs of a unit in the connector of "stc"."""
  frames, tokens = vision.unit_frames, vision.unit_tokens
  total = 0.0
  for block in range(2 * vision.stage_blocks):
    first, inputs = block == 0, width if block else vision.width
    # Of the first stage over every frame, of the second over the quarter grid.
    early = block < vision.stage_blocks
    grids, patches = (frames, vision.patches) if early else (1, tokens)
    products = inputs * width + stc.TAPS * width + width * width
    products += first * (inputs != width) * inputs * width  # the shortcut
    excited = 2 * width * stc.squeezed(inputs)
    total += grids * (patches * products + excited)
  sampled = frames * stc.WINDOW**2 * width * width
  return 2.0 * (total + tokens * (sampled + 2 * width * width))


def _queries(
  sizes: encoder_projector.QueryProjector, keys: int, inputs: int, width: int
) -> float:
  """Forward FLOPs of a unit in a Q-Former and the network behind it."""
  d, count = sizes.query_width, sizes.queries
  # Self-attention, cross-attention without its keys and values, the network.
  products = count * (4 * d * d + 2 * d * d + 2 * d * sizes.query_mlp)
  products += 2 * keys * inputs * d
  attended = 2 * count * (count + keys) * d
  ends = count * (d * width + width * width)
  return 2.0 * (sizes.query_layers * (products + attended) + ends)
