"""What belongs to the tokens that pass through a layer, in one object.

The thinker makes one for the decoder and one for each tower, and every module
hands it down to the projections, where the adapter reads it. A field that
nobody needs is None: it then is no leaf of the pytree, so it costs nothing in
a scanned or rematerialised layer.
"""

from typing import Any

from flax import struct


@struct.dataclass
class TokenContext:
  """Arrays over the tokens [*B] of a module's input, and how it runs."""

  # jax rebuilds the class with placeholders, so no field has a checked type.
  # float32[*B, Q]: membership of every token in Q groups, for the sums of the
  # router's statistics.
  groups: Any = None
  # int32[*B]: `Tasks.number` of every token, -1: none; None unless the adapter
  # reads it.
  tasks: Any = None
  # [*B, D]: the input of a projection after dropout, where several projections
  # share one mask; None: each draws its own.
  dropped: Any = None
  # decoder.Cache: keys and values of the tokens before the one to decode.
  cache: Any = None
  # True: no dropout. Static, as the compiled program depends on it.
  deterministic: bool = struct.field(pytree_node=False, default=True)


# No groups, no cache, no dropout: what modules take where nothing is said.
EMPTY = TokenContext()
