"""FLOPs of a training step, counted from the configuration.

A product of [n, d] and [d, k] is 2 n d k FLOPs; elementwise work is left out.
These are *model* FLOPs: what the mathematics asks for, whatever the program
does. So nothing is computed twice (no rematerialisation), a frozen weight has
no gradient, causal attention is counted for the half that it may see, and the
vocabulary is counted at supervised positions. Rows are taken as full: padding
of a row counts like tokens.

Reference: the adapter's share is the analytic count of its equation,
2 N (d R + d E + E R k) forward and twice that backward.
"""

import dataclasses

from crab_jax import configs

# A frozen product passes one gradient back (to its input); a trained one two.
_FROZEN = 2  # forward and backward, in units of the forward pass
_TRAINED = 3


@dataclasses.dataclass(frozen=True)
class Count:
  """FLOPs of a step on all devices together, forward and backward.

  Attributes:
    decoder: products with the decoder's base weights.
    towers: products with the towers' base weights, projectors included.
    attention: scores and weighted sums, all three stacks.
    head: the vocabulary projection.
    adapter: products with A, B and the router.
  """

  decoder: float
  towers: float
  attention: float
  head: float
  adapter: float

  @property
  def total(self) -> float:
    return (
      self.decoder + self.towers + self.attention + self.head + self.adapter
    )


@dataclasses.dataclass(frozen=True)
class _Stack:
  """One stack of layers, for one token (a patch, an encoder position)."""

  layers: int
  shapes: dict[str, tuple[int, int]]  # projections of a layer, (d, k)
  adapted: tuple[str, ...]
  keys: float  # keys that a query sees, averaged over layers
  inner: int  # N * H of attention


def _decoder(model: configs.Model, tokens: int) -> _Stack:
  d, sizes = model.decoder.width, model.decoder
  q, kv = sizes.heads * sizes.head_size, sizes.kv_heads * sizes.head_size
  shapes = {
    "q_proj": (d, q),
    "k_proj": (d, kv),
    "v_proj": (d, kv),
    "o_proj": (q, d),
    "gate_proj": (d, sizes.mlp),
    "up_proj": (d, sizes.mlp),
    "down_proj": (sizes.mlp, d),
  }
  return _Stack(sizes.layers, shapes, tuple(shapes), tokens / 2, q)


def _vision(model: configs.Model) -> _Stack:
  tower = model.vision
  d, full = tower.width, len(tower.full_blocks)
  window = (tower.window // tower.patch) ** 2
  keys = full * tower.unit_positions + (tower.layers - full) * window
  shapes = {name: (d, d) for name in ("q", "k", "v", "proj")}
  shapes |= {"gate_proj": (d, tower.mlp), "up_proj": (d, tower.mlp)}
  shapes |= {"down_proj": (tower.mlp, d)}
  adapted = ("gate_proj", "up_proj", "down_proj")
  return _Stack(tower.layers, shapes, adapted, keys / tower.layers, d)


def _audio(model: configs.Model) -> _Stack:
  tower = model.audio
  d = tower.width
  shapes = {name: (d, d) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
  shapes |= {"fc1": (d, tower.mlp), "fc2": (tower.mlp, d)}
  adapted = ("q_proj", "k_proj", "v_proj")
  return _Stack(tower.layers, shapes, adapted, tower.unit_positions, d)


def _base(stack: _Stack) -> float:
  """Forward FLOPs of a token in the base weights."""
  return 2 * stack.layers * sum(d * k for d, k in stack.shapes.values())


def _attention(stack: _Stack) -> float:
  """Forward FLOPs of a token in scores and weighted sums."""
  return 4 * stack.layers * stack.keys * stack.inner


def adapter_forward(stack: _Stack, adapter: configs.ILora) -> float:
  """Forward FLOPs of a token in the adapter."""
  shapes = [stack.shapes[name] for name in stack.adapted]
  return stack.layers * sum(adapter.flops(*shape) for shape in shapes)


def _projectors(
  model: configs.Model, rows: configs.Rows
) -> tuple[float, float]:
  """Forward FLOPs of a row: what reads pixels and mel, what writes tokens."""
  eye, ear, d = model.vision, model.audio, model.decoder.width
  merged = eye.merge**2 * eye.width
  patch = 3 * eye.unit_frames * eye.patch**2
  first = 2 * rows.frame_pairs * eye.unit_positions * patch * eye.width
  convolutions = ear.unit_frames * 3 * ear.bins * ear.width
  convolutions += ear.unit_positions * 3 * ear.width**2
  first += 2 * rows.chunks * convolutions
  last = 2 * rows.frame_pairs * eye.unit_tokens * merged * (merged + d)
  last += 2 * rows.chunks * ear.unit_tokens * ear.width * d
  return first, last


def _units(model: configs.Model, rows: configs.Rows) -> dict[str, int]:
  """Tokens of a row in each stack."""
  return {
    "decoder": rows.tokens,
    "eye": rows.frame_pairs * model.vision.unit_positions,
    "ear": rows.chunks * model.audio.unit_positions,
  }


def prefill(model: configs.Model, rows: configs.Rows) -> Count:
  """FLOPs of the prompts' forward pass, with the logits of one token a row."""
  units, adapter = _units(model, rows), model.adapter
  stacks = {
    "decoder": _decoder(model, rows.tokens),
    "eye": _vision(model),
    "ear": _audio(model),
  }
  adapted = 0.0
  for name, stack in stacks.items():
    if adapter and (name == "decoder" or adapter.in_towers):
      adapted += units[name] * adapter_forward(stack, adapter)
  attention = sum(units[n] * _attention(stack) for n, stack in stacks.items())
  towers = sum(units[name] * _base(stacks[name]) for name in ("eye", "ear"))
  return Count(
    decoder=rows.rows * units["decoder"] * _base(stacks["decoder"]),
    towers=rows.rows * (towers + sum(_projectors(model, rows))),
    attention=rows.rows * attention,
    head=rows.rows * 2.0 * model.decoder.width * model.decoder.vocabulary,
    adapter=rows.rows * adapted,
  )


def decode(model: configs.Model, rows: int, keys: float) -> Count:
  """FLOPs of one more token in every row.

  Args:
    model: the sizes.
    rows: answers that are decoded together.
    keys: that a token sees.
  """
  stack = dataclasses.replace(_decoder(model, 1), keys=keys)
  adapter = model.adapter
  return Count(
    decoder=rows * _base(stack),
    towers=0.0,
    attention=rows * _attention(stack),
    head=rows * 2.0 * model.decoder.width * model.decoder.vocabulary,
    adapter=rows * adapter_forward(stack, adapter) if adapter else 0.0,
  )


def train_step(model: configs.Model, rows: configs.Rows, trains: str) -> Count:
  """FLOPs of one step.

  Args:
    model: the sizes, and which towers are adapted.
    rows: the static shape of the step.
    trains: "all" or "adapter", as `Stage.trains`.
  """
  whole = trains == "all"
  adapter = None if whole else model.adapter
  towers_train = whole or (adapter and adapter.in_towers)
  weight = _TRAINED if whole else _FROZEN
  tower_weight = weight if towers_train else 1  # else no gradient enters them
  decoder = _decoder(model, rows.tokens)
  eye, ear = _vision(model), _audio(model)
  units = _units(model, rows)
  first, last = _projectors(model, rows)
  towers = tower_weight * (
    units["eye"] * _base(eye) + units["ear"] * _base(ear)
  )
  # Nothing that trains lies below the layers that read pixels and mel.
  towers += first * (2 if whole else 1) + last * tower_weight
  seen = _TRAINED if towers_train else 1
  attention = _TRAINED * units["decoder"] * _attention(decoder)
  attention += seen * units["eye"] * _attention(eye)
  attention += seen * units["ear"] * _attention(ear)
  adapted = 0.0
  if adapter:
    adapted = units["decoder"] * adapter_forward(decoder, adapter)
    if towers_train:
      adapted += units["eye"] * adapter_forward(eye, adapter)
      adapted += units["ear"] * adapter_forward(ear, adapter)
  head = 2 * rows.supervised * model.decoder.width * model.decoder.vocabulary
  return Count(
    decoder=rows.rows * weight * units["decoder"] * _base(decoder),
    towers=rows.rows * towers,
    attention=rows.rows * attention,
    head=rows.rows * weight * head,
    adapter=rows.rows * _TRAINED * adapted,
  )
