"""The router's gates along one sequence: which head serves which token.

A forward pass over a prompt and its answer. Not here: means over many clips,
which `routers.statistics` sums on the device.
"""

import dataclasses
import functools

import flax.traverse_util
import jax
import numpy as np

from crab_jax import array_types as at
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.data import packing
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.paradigms import thinker


@dataclasses.dataclass(frozen=True)
class Along:
  """Gates of the language model along a sequence.

  Attributes:
    gates: float32[T, E], the mean over layers and projections, as they are
      applied.
    kinds: uint8[T], `array_types.TokenKind` of each token.
  """

  gates: np.ndarray
  kinds: np.ndarray

  def by_kind(self) -> dict[str, list[float]]:
    """Kind of token -> the mean gate of each head, for kinds that occur."""
    return {
      kind.name.lower(): self.gates[self.kinds == kind].mean(0).tolist()
      for kind in at.TokenKind
      if np.any(self.kinds == kind)
    }


def along(
  model: configs.Model,
  params: at.Tree,
  maker: samples.SampleMaker,
  record: records.Record,
  answer: str,
) -> Along:
  """The gates along the prompt of a record and an answer to it.

  Args:
    model: with an adapter that has a router.
    params: all parameters.
    maker: makes the prompt.
    record: the clip and its question.
    answer: the text that follows the prompt.

  Raises:
    SampleError: the record cannot become a sample.
  """
  sample = maker.train(dataclasses.replace(record, target=answer))
  length = len(sample["tokens"])
  gates = np.asarray(_gates(params, _batch(sample, maker), model))
  return Along(gates[:length], sample["kinds"])


def _batch(sample: samples.Sample, maker: samples.SampleMaker):
  """The sample alone in a row, padded to a bucket."""
  length = len(sample["tokens"])
  rows = batch_lib.prompt_rows(
    1, length, len(sample["frames"]), len(sample["mel"])
  )
  rows = dataclasses.replace(rows, supervised=length)
  layout = packing.Layout(1, rows, maker.model, maker.chat.tokenizer.pad)
  # Without the arrays that have the length of the text: `_gates` is compiled
  # once for each shape.
  return batch_lib.inputs(layout.stack([[sample]]))


@functools.partial(jax.jit, static_argnames="model")
def _gates(params, batch, model: configs.Model) -> jax.Array:
  """The mean gates of the only row, float32[T, E]."""
  _, variables = thinker.Thinker(model).apply(
    {"params": params}, batch, mutable=["gates"]
  )
  leaves = flax.traverse_util.flatten_dict(variables["gates"]["model"])
  # [L, 1, T, E] -> [L, T, E]
  stacked = [leaf.astype("float32")[:, 0] for leaf in leaves.values()]
  return sum(leaf.mean(0) for leaf in stacked) / len(stacked)
