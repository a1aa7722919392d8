"""FLOPs of the encoders of Qwen2.5-Omni."""

from crab_jax import configs
from crab_jax.paradigms import stacks


def encoders(model: configs.Model, rows: configs.Rows) -> stacks.Encoders:
  """Both towers, and what lies before and behind them."""
  first, last = _ends(model, rows)
  return stacks.Encoders(
    (_vision(model, rows), _audio(model, rows)), first, last
  )


def _vision(model: configs.Model, rows: configs.Rows) -> stacks.Stack:
  tower = configs.VisionTower.of(model.vision)
  d, full = tower.width, len(tower.full_blocks)
  window = (tower.window // tower.patch) ** 2
  keys = full * tower.unit_positions + (tower.layers - full) * window
  shapes = {name: (d, d) for name in ("q", "k", "v", "proj")}
  shapes |= {"gate_proj": (d, tower.mlp), "up_proj": (d, tower.mlp)}
  shapes |= {"down_proj": (tower.mlp, d)}
  return stacks.Stack(
    positions=rows.frame_pairs * tower.unit_positions,
    layers=tower.layers,
    shapes=shapes,
    adapted=("gate_proj", "up_proj", "down_proj"),
    keys=keys / tower.layers,
    inner=d,
  )


def _audio(model: configs.Model, rows: configs.Rows) -> stacks.Stack:
  tower = configs.AudioTower.of(model.audio)
  d = tower.width
  shapes = {name: (d, d) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
  shapes |= {"fc1": (d, tower.mlp), "fc2": (tower.mlp, d)}
  return stacks.Stack(
    positions=rows.chunks * tower.unit_positions,
    layers=tower.layers,
    shapes=shapes,
    adapted=("q_proj", "k_proj", "v_proj"),
    keys=tower.unit_positions,
    inner=d,
  )


def _ends(model: configs.Model, rows: configs.Rows) -> tuple[float, float]:
  """Forward FLOPs of a row: patch embedding and convolutions; projectors."""
  vision = configs.VisionTower.of(model.vision)
  audio, d = configs.AudioTower.of(model.audio), model.decoder.width
  merged = vision.merge**2 * vision.width
  patch = 3 * vision.unit_frames * vision.patch**2
  first = 2 * rows.frame_pairs * vision.unit_positions * patch * vision.width
  convolutions = audio.unit_frames * 3 * audio.bins * audio.width
  convolutions += audio.unit_positions * 3 * audio.width**2
  first += 2 * rows.chunks * convolutions
  last = 2 * rows.frame_pairs * vision.unit_tokens * merged * (merged + d)
  last += 2 * rows.chunks * audio.unit_tokens * audio.width * d
  return first, last
