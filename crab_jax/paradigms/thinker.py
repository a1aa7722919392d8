"""The thinker: towers, projectors, decoder, vocabulary projection.

  params = nn.meta.unbox(init(key, config))
  model = Thinker(config)
  loss = model.apply({"params": params}, batch, method="loss")

`batch` is documented in `crab_jax.batch`. Parameters are a tree with the top
names `model`, `lm_head` and two of the family (`paradigms.network`:
`audio_tower` and `visual` for Qwen2.5-Omni); layers are stacked on a leading
axis. What a checkpoint holds and its forward pass never reads is left out.

Reference: Qwen2.5-Omni technical report, arXiv 2503.20215 (the thinker).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from crab_jax import array_types as at
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.models import axes
from crab_jax.models import decoder
from crab_jax.models import layers
from crab_jax.models import token_context
from crab_jax.models import vocabulary
from crab_jax.paradigms import network


@struct.dataclass
class Loss:
  """Sums, so that whoever adds up over devices and steps can normalise."""

  total: Any  # float32[]: sum of weights * nll
  weight: Any  # float32[]: sum of weights
  nll: Any  # float32[B, K]: of every supervised position, unweighted


class Head(nn.Module):
  """`lm_head`: only the kernel; `vocabulary` does the product."""

  config: configs.Model

  @nn.compact
  def __call__(self) -> at.Float[at.Array, "D V"]:
    sizes = self.config.decoder
    init = axes.named(layers.KERNEL, "embed", "vocab")
    shape = (sizes.width, sizes.vocabulary)
    return self.param("kernel", init, shape, self.config.param_dtype)


class Thinker(nn.Module):
  """Frames, sound and text in; hidden states, loss or logits out."""

  config: configs.Model

  def setup(self):
    family = network.of(self.config)
    # Named by the family, whatever the attribute: checkpoints know the names.
    self.audio = family.audio(self.config, name=family.audio_path)
    self.vision = family.vision(self.config, name=family.vision_path)
    self.model = decoder.Decoder(self.config)
    self.lm_head = Head(self.config)

  def features(
    self,
    batch: at.Batch,
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B X D"]:
    """The table [vision tokens | audio tokens] that `source` points into."""
    of_patches, of_positions = tower_contexts(batch, context, self.config)
    seen = self.vision(batch["frames"], of_patches)
    heard = self.audio(batch["mel"], batch["mel_lengths"], of_positions)
    width = self.config.decoder.width
    # [B, units, unit_tokens, D] -> [B, tokens, D]
    rows = [x.reshape(x.shape[0], -1, width) for x in (seen, heard)]
    table = jnp.concatenate(rows, axis=1)
    return axes.constrain(table, "batch", None, "act_embed")

  def __call__(
    self,
    batch: at.Batch,
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> at.Float[at.Array, "B T D"]:
    """The normalised hidden states of every token.

    Args:
      batch: see `crab_jax.batch`.
      context: of the tokens [B, T]. Unless it is deterministic, dropout draws
        from the rng "dropout"; with the collection "router" mutable, `ilora`
        writes the gates' sums by its groups.
    """
    context = completed(context, batch, self.config)
    table = self.features(batch, context)
    hidden, _ = self.model(batch, table, context)
    return hidden

  def loss(
    self,
    batch: at.Batch,
    context: token_context.TokenContext = token_context.EMPTY,
  ) -> Loss:
    """Cross-entropy at the supervised positions; see `__call__`."""
    hidden = self(batch, context)
    # Only these reach the vocabulary: float32 logits of 2048 tokens of the 7B
    # model are 1.2 GB a row.
    hidden = take_positions(hidden, batch["supervised"])
    nll = vocabulary.chunked_nll(
      hidden, batch["labels"], self.lm_head(), self.config.logit_chunk
    )
    weights = batch["weights"]
    return Loss(total=jnp.sum(nll * weights), weight=jnp.sum(weights), nll=nll)

  def logits(
    self,
    batch: at.Batch,
    positions: at.Int[at.Array, "B J"] | None = None,
  ) -> at.Float[at.Array, "B X V"]:
    """Float32 logits at `positions` of every row, None: at all tokens."""
    hidden = self(batch)
    if positions is not None:
      hidden = take_positions(hidden, positions)
    return vocabulary.project(hidden, self.lm_head())

  def prefill(
    self, batch: at.Batch, positions: at.Int[at.Array, "B"]
  ) -> tuple[at.Float[at.Array, "B V"], decoder.KeyValues]:
    """Logits at one position a row, and keys and values [L, B, T, K, H]."""
    context = completed(token_context.EMPTY, batch, self.config)
    table = self.features(batch, context)
    hidden, cache = self.model(batch, table, context, keep_cache=True)
    assert cache is not None  # as it is kept
    hidden = take_positions(hidden, positions[:, None])  # [B, 1, D]
    return vocabulary.project(hidden, self.lm_head())[:, 0], cache


def take_positions(
  hidden: at.Float[at.Array, "B T D"], positions: at.Int[at.Array, "B K"]
) -> at.Float[at.Array, "B K D"]:
  """hidden[b, positions[b, k]]."""
  # Positions are in range; jax's default mode would check each, to fill in NaN.
  return jnp.take_along_axis(hidden, positions[:, :, None], axis=1, mode="clip")


def completed(
  context: token_context.TokenContext, batch: at.Batch, config: configs.Model
) -> token_context.TokenContext:
  """The context with the tokens' tasks, where the adapter reads them."""
  if not config.reads_tasks:
    return context  # no array that nobody reads in a scanned layer
  return dataclasses.replace(context, tasks=batch["tasks"])


def tower_contexts(
  batch: at.Batch,
  context: token_context.TokenContext,
  config: configs.Model,
) -> tuple[token_context.TokenContext, token_context.TokenContext]:
  """The contexts of patches and of encoder positions, from the tokens'.

  A unit gets what the tokens have that it becomes: all their groups, and the
  one task of their sample. An unused pair, chunk or position is in no group.
  """
  patches = positions = context
  if context.groups is not None:
    of_pairs, of_chunks = by_unit(batch, context.groups, 0.0, config)
    # Positions behind the end of a short chunk are in no group.
    index = jnp.arange(config.audio.unit_positions)[None, None]
    valid = index < config.audio.positions_of(batch["mel_lengths"])[..., None]
    patches = dataclasses.replace(patches, groups=of_pairs)
    positions = dataclasses.replace(
      positions, groups=of_chunks * valid[..., None]
    )
  if context.tasks is not None:
    found = by_unit(batch, context.tasks[..., None], -1, config)
    # [.., P, 1] -> [.., P]
    patches = dataclasses.replace(patches, tasks=found[0][..., 0])
    positions = dataclasses.replace(positions, tasks=found[1][..., 0])
  return patches, positions


def by_unit(
  batch: at.Batch,
  values: at.Float[at.Array, "B T Q"] | at.Int[at.Array, "B T Q"],
  absent: float,
  config: configs.Model,
) -> tuple[at.Array, at.Array]:
  """The largest value of the tokens that a unit becomes, at its positions.

  Args:
    batch: its `source` says which tokens those are.
    values: of the tokens.
    absent: less than or equal to all values; of a unit that becomes none.
    config: the model.

  Returns:
    [B, V, P, Q] for patches and [B, C, P, Q] for encoder positions, in the
    dtype of the values.
  """
  pairs, units = batch["frames"].shape[1], batch["mel"].shape[1]
  seen, heard = config.vision.unit_tokens, config.audio.unit_tokens
  source = batch["source"]
  # Vision units come first, see "source" in `batch.FIELDS`.
  unit = jnp.where(
    source < pairs * seen,
    source // seen,
    pairs + (source - pairs * seen) // heard,
  )
  # Text is of no unit: an index out of range, which "drop" leaves out.
  unit = jnp.where(source >= 0, unit, pairs + units)
  row = jnp.arange(source.shape[0])[:, None]
  shape = (source.shape[0], pairs + units, values.shape[-1])
  empty = jnp.full(shape, absent, values.dtype)
  member = empty.at[row, unit].max(values, mode="drop")
  patches, positions = config.vision.unit_positions, config.audio.unit_positions
  return (
    jnp.repeat(member[:, :pairs, None], patches, axis=2),
    jnp.repeat(member[:, pairs:, None], positions, axis=2),
  )


def init(key: at.PRNGKey, config: configs.Model) -> at.Tree:
  """Fresh parameters, boxed with their logical axes.

  `nn.meta.unbox` gives the arrays, `nn.get_partition_spec` the logical names;
  under `jax.eval_shape` nothing is allocated, whatever the size.
  """
  model = Thinker(config)
  # The smallest batch: shapes of parameters do not depend on it.
  batch = batch_lib.empty(config, configs.Rows(1, 8, 1, 1, 1, 1))
  variables = model.init(key, batch, method="loss")
  return variables["params"]


def abstract(config: configs.Model) -> at.Tree:
  """The shapes, dtypes and logical axes of `init`, without arrays."""
  key = jax.eval_shape(lambda: jax.random.key(0))
  return jax.eval_shape(lambda key: init(key, config), key)
