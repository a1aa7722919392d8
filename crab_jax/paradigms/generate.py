"""Answers token by token: prefill, a key-value cache, a loop under jit.

One prompt a row, padded on the right. The first token of a row comes from the
logits at its own last real position, padding is masked in the cache, and rope
positions go on from the row's own maximum, so a row's answer does not depend
on its neighbours (the official collator gets this wrong). New keys lie apart
from those of the prompts, and all rows write at one column of them: a slice
and not a scatter; the mask and the rope positions do not care.

A compiled program serves one shape (rows, tokens, pairs, chunks):
`batch.prompt_rows` bounds their number.
"""

import dataclasses
import functools
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from crab_jax import array_types as at
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.models import axes
from crab_jax.models import decoder
from crab_jax.models import ilora
from crab_jax.models import layers
from crab_jax.models import rope
from crab_jax.models import sampling as sampling_lib
from crab_jax.models import token_context
from crab_jax.models import vocabulary
from crab_jax.paradigms import thinker

Sampling = sampling_lib.Sampling
_KEYS = ("batch", "act_kv_heads", None, "cache")
_VALUES = ("batch", "act_kv_heads", "cache", None)
GREEDY = Sampling()


@struct.dataclass
class State:
  """What one decoding step hands to the next."""

  token: Any  # int32[B], not yet in the cache
  step: Any  # int32[]: new tokens before `token`
  done: Any  # bool[B]: a stop token was seen, or `limit` is reached
  limit: Any  # int32[B]: new tokens that the row may have
  position: Any  # int32[B]: rope position of the first new token
  prompt: Any  # bool[B, T]: real tokens of the prompt
  tasks: Any  # int32[B]: the task of the row; None: the model reads none
  seen: Any  # bool[B, V], for the repetition penalty
  past: Any  # keys and values of the prompt of each layer, see `decoder.Cache`
  cache: Any  # the same of the new tokens, with room for `max_new_tokens`


@struct.dataclass
class Generation:
  """The answers: int32[B, N] with the stop token, then 0; their lengths."""

  # jax rebuilds the class with shapes, so no field has a checked type.
  tokens: Any
  lengths: Any  # int32[B], without the stop token
  ended: Any  # bool[B]: a stop token came; else a limit cut the answer off


def split_layers(params: at.Tree, config: configs.Model) -> at.Tree:
  """The decoder's parameters with a list of layers instead of a stack.

  A step reads every weight once; a slice of a stack would copy it first. The
  adapter is cast here to the dtype that it is computed in, once and not by
  every step: of 7B on four v5e chips its float32 is a seventh of what a step
  reads.
  """
  model = dict(params["model"])
  stack = model.pop("layers")
  model["layers"] = [
    _read_narrow(jax.tree.map(lambda x, i=i: x[i], stack), config)
    for i in range(config.decoder.layers)
  ]
  return {"model": model, "lm_head": params["lm_head"]}


def _read_narrow(layer: at.Tree, config: configs.Model) -> at.Tree:
  """The parameters of a layer, the adapter's in the dtype of activations."""
  dtype = jnp.dtype(config.compute_dtype)
  return jax.tree_util.tree_map_with_path(
    lambda path, x: x.astype(dtype) if ilora.is_leaf(path[-1].key) else x,
    layer,
  )


def prefill(
  params: at.Tree,
  batch: at.Batch,
  key: at.PRNGKey,
  config: configs.Model,
  sampling: Sampling,
) -> State:
  """Runs the prompts and picks every row's first token."""
  real = batch["segments"] > 0
  lengths = jnp.sum(real, axis=1)
  # A row of padding has no last token: its logits are those of position 0, and
  # its limit of 0 keeps them out of the answer.
  found = thinker.Thinker(config).apply(
    {"params": params}, batch, jnp.maximum(lengths - 1, 0), method="prefill"
  )
  # Flax cannot know what the method returns.
  logits, cache = cast(tuple[jax.Array, decoder.KeyValues], found)
  seen = None
  if sampling.repetition_penalty != 1:
    row = jnp.arange(logits.shape[0])[:, None]
    seen = jnp.zeros(logits.shape, bool)
    seen = seen.at[row, batch["tokens"]].max(real)
  last = jnp.max(jnp.where(real[..., None], batch["positions"], -1), (1, 2))
  token = sampling_lib.next_token(logits, seen, key, sampling)
  # An answer ends with the model's context; a row of padding has none.
  remaining = config.decoder.context - lengths
  limit = jnp.clip(remaining, 0, sampling.max_new_tokens)
  limit = jnp.where(lengths == 0, 0, limit)
  token = jnp.where(limit == 0, 0, token)
  past = by_layer(cache)
  return State(
    token=token,
    step=jnp.int32(0),
    # `token` is the first of `limit`.
    done=is_stop(token, sampling.stop_tokens) | (limit <= 1),
    limit=limit,
    position=(last + 1).astype(jnp.int32),
    prompt=real,
    # A prompt has one task, its padding -1.
    tasks=jnp.max(batch["tasks"], axis=1) if config.reads_tasks else None,
    seen=mark(seen, token),
    past=past,
    cache=tuple(room(pair, sampling.max_new_tokens) for pair in past),
  )


def by_layer(stacked: decoder.KeyValues) -> tuple:
  """[L, B, T, K, H] pairs -> the pair of each layer, as a cache has it."""
  pairs = zip(*decoder.cache_layout(stacked), strict=True)
  return tuple(spread(pair) for pair in pairs)


def spread(pair: decoder.KeyValues) -> decoder.KeyValues:
  """Keys and values of a cache, over the devices as it is."""
  keys, values = pair
  return axes.constrain(keys, *_KEYS), axes.constrain(values, *_VALUES)


def room(like: decoder.KeyValues, size: int) -> decoder.KeyValues:
  """Zeros for the keys and values of `size` tokens, else as those of a cache."""
  keys, values = like
  *front, _ = keys.shape
  return spread(
    (
      jnp.zeros((*front, size), keys.dtype),
      jnp.zeros((*values.shape[:2], size, values.shape[3]), values.dtype),
    )
  )


def is_stop(
  token: at.Int[at.Array, "B"], stop_tokens: tuple[int, ...]
) -> at.Bool[at.Array, "B"]:
  """Whether a token ends its row."""
  stops = jnp.asarray(stop_tokens, jnp.int32).reshape(1, -1)
  return jnp.any(token[:, None] == stops, axis=1)


def mark(seen: jax.Array | None, token: at.Array) -> jax.Array | None:
  """`seen` with the token of every row."""
  if seen is None:
    return None
  return seen.at[jnp.arange(len(token)), token].set(True)


def decode_step(
  params: at.Tree,
  tokens: at.Int[at.Array, "B T"],
  positions: at.Int[at.Array, "B T 3"],
  caches: Sequence[decoder.Cache],
  tasks: at.Int[at.Array, "B"] | None,
  config: configs.Model,
) -> tuple[at.Float[at.Array, "B T D"], tuple]:
  """Hidden states after `tokens`, and `Cache.new` of every layer with them.

  Args:
    params: of `split_layers`.
    tokens: to read behind what is cached; one, unless a prompt goes on.
    positions: of rope.
    caches: of each layer.
    tasks: of the rows; None: the model reads none.
    config: the model.
  """
  model = params["model"]
  x = decoder.Embedding(config).apply({"params": model["embed_tokens"]}, tokens)
  table = rope.decoder_table(positions, config.decoder)
  layer = decoder.DecoderLayer(config, keep_cache=True)
  if tasks is not None:
    tasks = jnp.broadcast_to(tasks[:, None], tokens.shape)
  made = []
  # Not a scan, which would copy a slice of the stacked weights and of the cache
  # for every layer.
  for weights, cache in zip(model["layers"], caches, strict=True):
    context = token_context.TokenContext(tasks=tasks, cache=cache)
    found = layer.apply({"params": weights}, x, table, None, context)
    x, pair = cast(tuple[jax.Array, decoder.KeyValues], found)
    made.append(spread(pair))
  norm = layers.RMSNorm(config, config.decoder.norm_epsilon)
  x = cast(jax.Array, norm.apply({"params": model["norm"]}, x))
  return x, tuple(made)


def text_positions(
  position: at.Int[at.Array, "B"],
) -> at.Int[at.Array, "B 1 3"]:
  """Of one text token a row: alike in time, row and column."""
  return jnp.broadcast_to(position[:, None, None], (len(position), 1, 3))


def last_logits(
  params: at.Tree, hidden: at.Float[at.Array, "B T D"]
) -> at.Float[at.Array, "B V"]:
  """Logits at the last of the hidden states."""
  return vocabulary.decode(hidden[:, -1], params["lm_head"])


def advance(
  params: at.Tree,
  state: State,
  key: at.PRNGKey,
  config: configs.Model,
  sampling: Sampling,
) -> State:
  """One more token in every row; 0 where the row is done."""
  size = state.cache[0][0].shape[-1]
  # Behind the step's own token the room for new ones is still empty.
  written = jnp.arange(size)[None, None] <= state.step
  written = jnp.broadcast_to(written, (len(state.token), 1, size))
  caches = [
    decoder.Cache(past, state.prompt, new, state.step, written)
    for past, new in zip(state.past, state.cache, strict=True)
  ]
  positions = text_positions(state.position + state.step)
  hidden, cache = decode_step(
    params, state.token[:, None], positions, caches, state.tasks, config
  )
  logits = last_logits(params, hidden)
  step = state.step + 1
  key = jax.random.fold_in(key, step)
  token = sampling_lib.next_token(logits, state.seen, key, sampling)
  token = jnp.where(state.done, 0, token)
  return dataclasses.replace(
    state,
    token=token,
    step=step,
    done=state.done
    | is_stop(token, sampling.stop_tokens)
    | (step + 1 >= state.limit),
    seen=mark(state.seen, token),
    cache=cache,
  )


def generate(
  params: at.Tree,
  batch: at.Batch,
  key: at.PRNGKey,
  config: configs.Model,
  sampling: Sampling,
) -> Generation:
  """Prefill and decode until every row is done or full; made for `jax.jit`."""
  state = prefill(params, batch, key, config, sampling)
  # Behind the prompt, which is read by the scan over the stack.
  params = split_layers(params, config)
  rows, limit = len(state.token), sampling.max_new_tokens
  tokens = jnp.zeros((rows, limit), jnp.int32).at[:, 0].set(state.token)

  def more(carry):
    state, _ = carry
    return (state.step + 1 < limit) & ~jnp.all(state.done)

  def body(carry):
    state, tokens = carry
    state = advance(params, state, key, config, sampling)
    column = state.token[:, None]
    return state, jax.lax.dynamic_update_slice(tokens, column, (0, state.step))

  state, tokens = jax.lax.while_loop(more, body, (state, tokens))
  stops = jnp.asarray(sampling.stop_tokens, jnp.int32).reshape(1, 1, -1)
  stopped = jnp.any(tokens[:, :, None] == stops, axis=2)
  made = jnp.minimum(state.step + 1, state.limit)
  stopped &= jnp.arange(limit)[None] < made[:, None]  # 0 may be a stop token
  ended = jnp.any(stopped, axis=1)
  lengths = jnp.where(ended, jnp.argmax(stopped, axis=1), made)
  lengths = lengths.astype(jnp.int32)
  return Generation(tokens=tokens, lengths=lengths, ended=ended)


class Generator:
  """Compiled generation for one model and one way of sampling.

  Args:
    config: the model; a dropout of its adapter plays no part.
    sampling: how tokens are picked.
  """

  def __init__(self, config: configs.Model, sampling: Sampling = GREEDY):
    self.config, self.sampling = config, sampling
    self._generate = jax.jit(
      functools.partial(generate, config=config, sampling=sampling)
    )
    self._prefill = jax.jit(
      functools.partial(prefill, config=config, sampling=sampling)
    )
    self._advance = jax.jit(
      functools.partial(advance, config=config, sampling=sampling),
      # The step writes into the cache that it is given.
      donate_argnames="state",
    )
    self._split = jax.jit(functools.partial(split_layers, config=config))

  def __call__(
    self, params: at.Tree, batch: at.Batch, key: at.PRNGKey | None = None
  ) -> Generation:
    """Answers for a batch with one prompt a row.

    Args:
      params: as of `thinker.init`, unboxed.
      batch: with at least `batch.INPUTS`; a row that is all padding stays
        empty.
      key: for sampling; greedy needs none.
    """
    return self._generate(params, batch_lib.inputs(batch), _key(key))

  def stream(
    self, params: at.Tree, batch: at.Batch, key: at.PRNGKey | None = None
  ) -> Iterator[np.ndarray]:
    """The tokens int32[B] of one step after another, as they are made.

    The same tokens as `__call__`; a done row goes on with 0.
    """
    key = _key(key)
    state = self._prefill(params, batch_lib.inputs(batch), key)
    yield np.asarray(state.token)
    params = self._split(params)
    for _ in range(1, self.sampling.max_new_tokens):
      if np.all(state.done):
        return
      state = self._advance(params, state, key)
      yield np.asarray(state.token)


def _key(key: at.PRNGKey | None) -> at.PRNGKey:
  return jax.random.key(0) if key is None else key
