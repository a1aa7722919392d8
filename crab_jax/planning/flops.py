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
from crab_jax.configs import schedule
from crab_jax.paradigms import network
from crab_jax.paradigms import stacks

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


def _decoder(model: configs.Model, tokens: int) -> stacks.Stack:
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
  # Causal: a token sees half of the row on average.
  return stacks.Stack(
    tokens, sizes.layers, shapes, tuple(shapes), tokens / 2, q
  )


def _base(stack: stacks.Stack) -> float:
  """Forward FLOPs of a token in the base weights."""
  return 2 * stack.layers * sum(d * k for d, k in stack.shapes.values())


def _attention(stack: stacks.Stack) -> float:
  """Forward FLOPs of a token in scores and weighted sums."""
  # Two products of 2 FLOPs a term.
  return 4 * stack.layers * stack.keys * stack.inner


def adapter_forward(stack: stacks.Stack, adapter: configs.ILora) -> float:
  """Forward FLOPs of a token in the adapter."""
  shapes = [stack.shapes[name] for name in stack.adapted]
  return stack.layers * sum(adapter.flops(*shape) for shape in shapes)


def _sum(parts: tuple[stacks.Stack, ...], work) -> float:
  """`work`, FLOPs of one position, of all positions of a row."""
  return sum(stack.positions * work(stack) for stack in parts)


def prefill(model: configs.Model, rows: configs.Rows) -> Count:
  """FLOPs of the prompts' forward pass, with the logits of one token a row."""
  decoder, adapter = _decoder(model, rows.tokens), model.adapter
  encoders = network.of(model).encoders(model, rows)
  whole = (decoder, *encoders.stacks)
  adapted = 0.0
  if adapter:
    parts = whole if adapter.in_towers else (decoder,)
    adapted = _sum(parts, lambda stack: adapter_forward(stack, adapter))
  towers = _sum(encoders.stacks, _base) + encoders.first + encoders.last
  return Count(
    decoder=rows.rows * _sum((decoder,), _base),
    towers=rows.rows * towers,
    attention=rows.rows * _sum(whole, _attention),
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


def train_step(
  model: configs.Model, rows: configs.Rows, trains: schedule.Trains
) -> Count:
  """FLOPs of one step.

  Args:
    model: the sizes, and which towers are adapted.
    rows: the static shape of the step.
    trains: as `Stage.trains`.
  """
  groups = schedule.groups(trains)
  adapter = model.adapter if "adapter" in groups else None
  in_towers = adapter is not None and adapter.in_towers
  towers_train = "towers" in groups or in_towers

  def weight_of(group: str, reached: bool) -> int:
    # Unless something at or below it trains, no gradient enters a product.
    return _TRAINED if group in groups else _FROZEN if reached else 1

  # All that may train lies in the decoder or below it.
  weight = weight_of("lm", True)
  decoder = _decoder(model, rows.tokens)
  encoders = network.of(model).encoders(model, rows)
  towers = weight_of("towers", in_towers) * _sum(encoders.stacks, _base)
  towers += weight_of("projectors", towers_train) * encoders.last
  # Nothing that trains lies below the layers that read pixels and spectrograms.
  towers += encoders.first * (2 if "towers" in groups else 1)
  seen = _TRAINED if towers_train else 1
  attention = _TRAINED * _sum((decoder,), _attention)
  attention += seen * _sum(encoders.stacks, _attention)
  adapted = 0.0
  if adapter:
    parts = (decoder, *encoders.stacks) if in_towers else (decoder,)
    adapted = _sum(parts, lambda stack: adapter_forward(stack, adapter))
  head = 2 * rows.supervised * model.decoder.width * model.decoder.vocabulary
  return Count(
    decoder=rows.rows * weight * _sum((decoder,), _base),
    towers=rows.rows * towers,
    attention=rows.rows * attention,
    head=rows.rows * weight * head,
    adapter=rows.rows * _TRAINED * adapted,
  )
