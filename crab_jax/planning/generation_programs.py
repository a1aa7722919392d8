"""The two programs of generation, compiled for shapes alone.

`prefill` takes a batch of prompts to their first tokens, `decode` every row one
token further, as `paradigms.generate` runs them.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.paradigms import generate
from crab_jax.paradigms import thinker
from crab_jax.planning import aot
from crab_jax.training import generation_sharding


@dataclasses.dataclass(frozen=True)
class Prompts:
  """A batch of prompts, one a row; sizes are rounded up as for a real one.

  Attributes:
    rows: prompts that are answered together.
    tokens: of the longest.
    frame_pairs: of the longest.
    chunks: of the longest.
    new_tokens: room for an answer.
  """

  rows: int
  tokens: int
  frame_pairs: int
  chunks: int
  new_tokens: int


def with_shardings(tree: Any, where: Any) -> Any:
  """Shapes with the shardings of a tree of the same structure."""
  return jax.tree.map(
    lambda leaf, there: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=there
    ),
    tree,
    where,
  )


class Programs:
  """The programs of `paradigms.generate` for shapes alone.

  Args:
    model: the network.
    layout: of parameters and prompts.
    devices: of the host.
    prompts: shapes of a batch.
  """

  def __init__(
    self,
    model: configs.Model,
    layout: generation_sharding.Layout,
    devices: Sequence[Any],
    prompts: Prompts,
  ):
    self._layout = layout
    self._model = model
    shape = batch_lib.prompt_rows(
      prompts.rows, prompts.tokens, prompts.frame_pairs, prompts.chunks
    )
    self.batch = batch_lib.inputs(batch_lib.abstract(model, shape))
    shapes = jax.eval_shape(
      lambda key: nn.meta.unbox(thinker.init(key, model)), key()
    )
    self.params = with_shardings(shapes, layout.shardings(shapes, devices[0]))
    sampling = generate.Sampling(max_new_tokens=prompts.new_tokens)
    self._prefill = functools.partial(
      generate.prefill, config=model, sampling=sampling
    )
    self._advance = functools.partial(
      generate.advance, config=model, sampling=sampling
    )
    self._split = functools.partial(generate.split_layers, config=model)

  def prefill(self) -> aot.Program:
    """The prompts' pass, compiled."""
    with self._layout.scope():
      lowered = jax.jit(self._prefill).lower(self.params, self.batch, key())
    return aot.compile_lowered(lowered)

  def decode(self, state_shardings: Any) -> tuple[aot.Program, Any, Any]:
    """One step, compiled; and the shapes of its parameters and its state.

    Args:
      state_shardings: of the state as `prefill` returns it.
    """
    state = with_shardings(
      jax.eval_shape(self._prefill, self.params, self.batch, key()),
      state_shardings,
    )
    # Compiled too: only then is it known how the compiler shards the copies.
    split = jax.jit(self._split).lower(self.params).compile()
    params = with_shardings(
      jax.eval_shape(self._split, self.params), split.output_shardings
    )
    with self._layout.scope():
      # As `generate.Generator` does: the cache is written in place.
      step = jax.jit(self._advance, donate_argnums=1)
      lowered = step.lower(params, state, key())
    return aot.compile_lowered(lowered), params, state


def key() -> Any:
  return jax.eval_shape(lambda: jax.random.key(0))
