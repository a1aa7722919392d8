"""What planning counts of encoders: stacks of layers and their products."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Stack:
  """One stack of equal layers, and how often a row runs through it.

  Attributes:
    positions: tokens, patches or spectrogram positions of a full row.
    layers: in the stack.
    shapes: projection of a layer -> (inputs, outputs).
    adapted: the projections that an adapter may sit in.
    keys: that a query sees, averaged over the layers.
    inner: heads times head size of attention.
  """

  positions: int
  layers: int
  shapes: dict[str, tuple[int, int]]
  adapted: tuple[str, ...]
  keys: float
  inner: int


@dataclasses.dataclass(frozen=True)
class Encoders:
  """All that runs before the language model, of one full row.

  Attributes:
    stacks: of all encoders.
    first: forward FLOPs of what reads pixels and spectrograms: no gradient
      goes further.
    last: forward FLOPs of the projectors, which write tokens.
  """

  stacks: tuple[Stack, ...]
  first: float
  last: float
