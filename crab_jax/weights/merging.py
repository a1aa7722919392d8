"""An adapter merged into the kernels of its base.

  W' = W + s sum_e A B_e / E

This holds where every token gets the same weights of the heads: one head,
router="uniform", and a router that has no effect. The sum is float32 and is
rounded once, to the dtype of the base.
"""

import dataclasses
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax.models import ilora
from crab_jax.weights import stored


def obstacle(params: array_types.Tree, config: configs.ILora) -> str | None:
  """Why the adapter has no kernel of its own; None: it can be merged.

  Args:
    params: of the adapter.
    config: its settings.
  """
  if not config.routes:
    return None
  routed = [
    path
    for path, projection in ilora.projections(params).items()
    if not _is_constant(projection, config)
  ]
  if not routed:
    return None
  return (
    f'router="{config.router}" weighs {config.heads} heads by the token (in'
    f" {routed[0]} and {len(routed) - 1} more); one head,"
    ' router="uniform" or a router of zeros can be merged'
  )


def _is_constant(projection: ilora.Projection, config: configs.ILora) -> bool:
  """Whether all tokens get the same update of a routed projection."""
  if config.router == "token" and not np.any(projection.route):
    return True  # gates of 1 / E
  # Where they sum to 1, it does not matter how they weigh heads that are equal.
  b = np.asarray(projection.b)
  alike = bool(np.all(b == b[..., :1, :, :]))
  return config.is_mixture and config.shared_a and alike


@dataclasses.dataclass(frozen=True)
class Leaf:
  """A parameter of the base with its update, block by block.

  `blocks()` yields (start, block) on the grid of `chunk`.
  """

  source: stored.Stored
  projection: ilora.Projection | None  # None: as it is
  scale: float

  @property
  def shape(self) -> tuple[int, ...]:
    return tuple(self.source.shape)

  @property
  def dtype(self) -> np.dtype:
    return self.source.dtype

  @property
  def chunk(self) -> tuple[int, ...]:
    rows = stored.rows_a_block(self.shape, self.dtype.itemsize)
    return (rows, *self.shape[1:])

  def blocks(self) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """The values in order of the first axis."""
    rows = self.chunk[0]
    for start in range(0, self.shape[0], rows):
      block = self.source.read(slice(start, start + rows))
      if self.projection is not None:
        block = self._updated(block, start, self.projection)
      yield (start, *[0] * (len(self.shape) - 1)), block

  def _updated(
    self, block: np.ndarray, start: int, projection: ilora.Projection
  ) -> np.ndarray:
    """float32 sums of a layer at a time, in the block's dtype."""
    made = np.empty_like(block)
    for number, kernel in enumerate(block):
      a, b = (np.asarray(x[start + number], np.float32) for x in projection[:2])
      # One A for all heads: the mean of B; else the mean of the products.
      update = a @ b.mean(0) if a.ndim == 2 else (a @ b).mean(0)
      made[number] = kernel.astype(np.float32) + self.scale * update
    return made


def leaves(
  base: Mapping[str, stored.Stored],
  params: array_types.Tree,
  config: configs.ILora,
) -> dict[str, Leaf]:
  """The merged parameters by path.

  Args:
    base: the parameters of the base, no adapter's.
    params: of the adapter.
    config: its settings.
  """
  updates = {
    f"{path}/kernel": projection
    for path, projection in ilora.projections(params).items()
  }
  return {
    path: Leaf(leaf, updates.get(path), config.scale)
    for path, leaf in base.items()
  }
