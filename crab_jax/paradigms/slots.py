"""Answers in slots: prompts come and go while the other rows go on.

  prompt = prefill(params, batch, choice)         one prompt, its first token
  state = insert(state, slot, prompt, ...)        into a slot of the state
  state, tokens = decode(layers, state, ...)      one token or more, every row

New keys of all rows go to one column of a ring, a slice and not a scatter: a
step's column is its number modulo the room N, and a row sees the columns of
its own last `made` tokens, the one that is fed among them. A row with a limit
of at most N never meets its own tail, whenever it was inserted. What a row
answers depends neither on its neighbours nor on when it came.

`extend` reads a prompt that begins like an earlier one: only what differs is
computed, on the keys and values of the earlier prompt.
"""

import dataclasses
from typing import Any
from typing import cast

import jax
import jax.numpy as jnp
from flax import struct

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import decoder
from crab_jax.models import row_sampling
from crab_jax.paradigms import generate
from crab_jax.paradigms import thinker

NO_TOKEN = -1  # in the tokens of a burst: the row was not in use


@struct.dataclass
class Piece:
  """Keys and values of successive tokens of a prompt, with padding."""

  # jax rebuilds the classes with shapes, so no field has a checked type.
  layers: Any  # keys and values of each layer, see `decoder.Cache`
  visible: Any  # bool[B, T]


@struct.dataclass
class Prompt:
  """A prompt that was read."""

  token: Any  # int32[B]: the first new token
  position: Any  # int32[B]: rope position of the first new token
  seen: Any  # bool[B, V]: tokens of the prompt, and `token`
  tasks: Any  # int32[B]; None: the model reads none


@struct.dataclass
class State:
  """All slots, S rows."""

  token: Any  # int32[S]: not yet in the cache
  made: Any  # int32[S]: new tokens, `token` among them
  live: Any  # bool[S]: the row has an answer in the making
  limit: Any  # int32[S]: new tokens that the row may have, <= N
  stops: Any  # bool[S]: a stop token ends the row
  position: Any  # int32[S]: rope position of the first new token
  visible: Any  # bool[S, T]: real tokens of the prompt
  tasks: Any  # int32[S]; None: the model reads none
  seen: Any  # bool[S, V]
  choice: Any  # row_sampling.Choice
  past: Any  # keys and values of the prompts of each layer, T tokens
  cache: Any  # those of the new tokens, N
  column: Any  # int32[]: of the next step, in 0..N-1


def empty(
  config: configs.Model, slots: int, prompt_tokens: int, new_tokens: int
) -> State:
  """Slots without answers."""
  sizes = config.decoder

  def pairs(room):
    shape = (slots, room, sizes.kv_heads, sizes.head_size)
    none = jnp.zeros(shape, config.compute_dtype)
    return tuple(
      generate.spread(decoder.cache_layout((none, none)))
      for _ in range(sizes.layers)
    )

  whole = jnp.zeros(slots, jnp.int32)
  return State(
    token=whole,
    made=whole,
    live=jnp.zeros(slots, bool),
    limit=whole,
    stops=jnp.zeros(slots, bool),
    position=whole,
    visible=jnp.zeros((slots, prompt_tokens), bool),
    tasks=whole if config.reads_tasks else None,
    seen=jnp.zeros((slots, sizes.vocabulary), bool),
    choice=row_sampling.greedy(slots),
    past=pairs(prompt_tokens),
    cache=pairs(new_tokens),
    column=jnp.int32(0),
  )


def prefill(
  params: at.Tree,
  batch: at.Batch,
  choice: row_sampling.Choice,
  config: configs.Model,
) -> tuple[Prompt, Piece]:
  """Reads prompts from their beginning, one a row.

  Args:
    params: all of them.
    batch: the arrays of `batch.INPUTS`.
    choice: how the first tokens are picked.
    config: the model.
  """
  real = batch["segments"] > 0
  lengths = jnp.sum(real, axis=1)
  # A row of padding has no last token; nobody reads what position 0 gives.
  found = thinker.Thinker(config).apply(
    {"params": params}, batch, jnp.maximum(lengths - 1, 0), method="prefill"
  )
  # Flax cannot know what the method returns.
  logits, cache = cast(tuple[jax.Array, decoder.KeyValues], found)
  tasks = jnp.max(batch["tasks"], axis=1) if config.reads_tasks else None
  text = batch["tokens"], real, batch["positions"]
  prompt = _prompt(logits, *text, tasks, choice)
  return prompt, Piece(generate.by_layer(cache), real)


def extend(
  layers: at.Tree,
  past: Piece,
  batch: at.Batch,
  suffix: at.Batch,
  choice: row_sampling.Choice,
  config: configs.Model,
) -> tuple[Prompt, Piece]:
  """Reads the rest of prompts whose beginning was read.

  Args:
    layers: of `generate.split_layers`.
    past: keys and values of the beginnings.
    batch: tokens, positions, segments and tasks of the whole prompts.
    suffix: tokens, positions and segments [B, X] of what is to be read: text,
      and at least one token.
    choice: how the first tokens are picked.
    config: the model.
  """
  tokens = suffix["tokens"]
  rows, size = tokens.shape
  real = suffix["segments"] > 0
  # A query sees the suffix up to itself; padding lies behind.
  written = jnp.broadcast_to(
    jnp.tri(size, dtype=bool)[None], (rows, size, size)
  )
  caches = [
    decoder.Cache(
      pair, past.visible, generate.room(pair, size), jnp.int32(0), written
    )
    for pair in past.layers
  ]
  tasks = jnp.max(batch["tasks"], axis=1) if config.reads_tasks else None
  hidden, made = generate.decode_step(
    layers, tokens, suffix["positions"], caches, tasks, config
  )
  # The suffix is padded on the right: its last real token is not the last.
  last = jnp.maximum(jnp.sum(real, axis=1) - 1, 0)
  hidden = thinker.take_positions(hidden, last[:, None])
  logits = generate.last_logits(layers, hidden)
  text = batch["tokens"], batch["segments"] > 0, batch["positions"]
  return _prompt(logits, *text, tasks, choice), Piece(made, real)


def _prompt(logits, tokens, real, positions, tasks, choice) -> Prompt:
  row = jnp.arange(logits.shape[0])[:, None]
  seen = jnp.zeros(logits.shape, bool).at[row, tokens].max(real)
  none = jnp.zeros(len(tokens), jnp.int32)
  token = row_sampling.next_tokens(logits, seen, none, choice)
  last = jnp.max(jnp.where(real[..., None], positions, -1), (1, 2))
  return Prompt(
    token=token,
    position=(last + 1).astype(jnp.int32),
    seen=generate.mark(seen, token),
    tasks=tasks,
  )


def insert(
  state: State,
  slot: at.Int[at.Array, ""],
  prompt: Prompt,
  pieces: tuple[Piece, ...],
  limit: at.Int[at.Array, ""],
  stops: at.Bool[at.Array, ""],
  choice: row_sampling.Choice,
) -> State:
  """The state with the first row of a prompt in a slot.

  Args:
    state: the slots.
    slot: which; what it held is gone.
    prompt: of `prefill` or `extend`.
    pieces: what the prompt consists of, in order.
    limit: new tokens that it may have, the first among them; >= 2.
    stops: whether a stop token ends it.
    choice: how its tokens are picked, of one row.
  """

  def put(whole, value):
    return whole.at[slot].set(value)

  def put_row(whole, rows):
    return None if whole is None else put(whole, rows[0])

  def joined(whole, *parts):
    """Keys and values of the pieces, one piece behind the other."""
    keys, values = whole
    first = 0
    for new_keys, new_values in parts:
      start = (slot, 0, 0, first)
      keys = jax.lax.dynamic_update_slice(keys, new_keys[:1], start)
      start = (slot, 0, first, 0)
      values = jax.lax.dynamic_update_slice(values, new_values[:1], start)
      first += new_values.shape[2]
    return generate.spread((keys, values))

  visible = jnp.concatenate([piece.visible[:1] for piece in pieces], axis=1)
  room = state.visible.shape[1] - visible.shape[1]
  return dataclasses.replace(
    state,
    token=put_row(state.token, prompt.token),
    made=put(state.made, 1),
    live=put(state.live, True),
    limit=put(state.limit, limit),
    stops=put(state.stops, stops),
    position=put_row(state.position, prompt.position),
    # False behind the prompt: what an earlier one left there is not seen.
    visible=put(state.visible, jnp.pad(visible[0], (0, room))),
    tasks=put_row(state.tasks, prompt.tasks),
    seen=put_row(state.seen, prompt.seen),
    choice=jax.tree.map(put_row, state.choice, choice),
    past=tuple(map(joined, state.past, *(piece.layers for piece in pieces))),
  )


def release(state: State, slot: at.Int[at.Array, ""]) -> State:
  """The state with a slot that makes no more tokens."""
  return dataclasses.replace(state, live=state.live.at[slot].set(False))


def relocate(
  state: State, source: at.Int[at.Array, ""], target: at.Int[at.Array, ""]
) -> State:
  """The state with what one slot holds in another one, and the former empty."""

  def put(whole):
    row = jax.lax.dynamic_index_in_dim(whole, source, keepdims=True)
    start = (target,) + (0,) * (whole.ndim - 1)
    return jax.lax.dynamic_update_slice(whole, row, start)

  # The ring's column is one of all rows.
  moved = jax.tree.map(put, dataclasses.replace(state, column=None))
  return release(dataclasses.replace(moved, column=state.column), source)


def decode(
  layers: at.Tree,
  state: State,
  steps: at.Int[at.Array, ""],
  leave: at.Bool[at.Array, ""],
  config: configs.Model,
  stop_tokens: tuple[int, ...],
  rows: int,
  burst: int,
) -> tuple[State, at.Int[at.Array, "X B"]]:
  """One token or more in the first slots.

  Args:
    layers: of `generate.split_layers`.
    state: the slots.
    steps: tokens at most, <= burst; fewer where all rows end before.
    leave: stop as soon as one row has ended.
    config: the model.
    stop_tokens: any of them ends a row.
    rows: slots to decode; no other one is in use.
    burst: static: the most that `steps` may be.

  Returns:
    The state, and the tokens [burst, rows]; `NO_TOKEN` where none was made.
  """
  part = _first(state, rows)
  tokens = jnp.full((burst, rows), NO_TOKEN, jnp.int32)
  count = jnp.sum(part.live)

  def more(carry):
    index, now, _ = carry
    live = jnp.sum(now.live)
    return (index < steps) & (live > 0) & ~(leave & (live < count))

  def body(carry):
    index, now, tokens = carry
    was = now.live
    now = advance(layers, now, config, stop_tokens)
    row = jnp.where(was, now.token, NO_TOKEN)
    return index + 1, now, tokens.at[index].set(row)

  _, part, tokens = jax.lax.while_loop(more, body, (0, part, tokens))
  return _put_back(state, part, rows), tokens


def _first(state: State, rows: int) -> State:
  """The first rows of a state."""
  if rows == len(state.token):
    return state
  parts = jax.tree.map(
    lambda x: x[:rows], dataclasses.replace(state, column=None)
  )
  return dataclasses.replace(parts, column=state.column)


def _put_back(state: State, part: State, rows: int) -> State:
  """The state with what decoding has changed of its first rows."""
  if rows == len(state.token):
    return part

  def put(whole, new):
    start = (0,) * whole.ndim
    return jax.lax.dynamic_update_slice(whole, new, start)

  return dataclasses.replace(
    state,
    token=put(state.token, part.token),
    made=put(state.made, part.made),
    live=put(state.live, part.live),
    seen=put(state.seen, part.seen),
    cache=jax.tree.map(put, state.cache, part.cache),
    column=part.column,
  )


def advance(
  layers: at.Tree,
  state: State,
  config: configs.Model,
  stop_tokens: tuple[int, ...],
) -> State:
  """One more token in every row that is live."""
  size = state.cache[0][0].shape[-1]
  # How many steps ago each column was written; its own column 0.
  age = jnp.mod(state.column - jnp.arange(size), size)
  written = (age[None] < state.made[:, None])[:, None]  # [B, 1, N]
  caches = [
    decoder.Cache(past, state.visible, new, state.column, written)
    for past, new in zip(state.past, state.cache, strict=True)
  ]
  positions = generate.text_positions(state.position + state.made - 1)
  hidden, cache = generate.decode_step(
    layers, state.token[:, None], positions, caches, state.tasks, config
  )
  logits = generate.last_logits(layers, hidden)
  token = row_sampling.next_tokens(logits, state.seen, state.made, state.choice)
  # A row that is not live keeps what it has: all rows of a program run.
  token = jnp.where(state.live, token, state.token)
  made = state.made + state.live
  ended = generate.is_stop(token, stop_tokens) & state.stops
  return dataclasses.replace(
    state,
    token=token,
    made=made,
    live=state.live & ~ended & (made < state.limit),
    seen=generate.mark(state.seen, token),
    cache=cache,
    column=jnp.mod(state.column + 1, size),
  )
