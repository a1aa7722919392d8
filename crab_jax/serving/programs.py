"""The compiled programs of an engine, and the slots that they change.

Every program is compiled before the first prompt, so that nobody waits for a
compiler; `compilations` counts, and a shape that was forgotten shows there.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import os
import threading
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import jax
import numpy as np

from crab_jax import array_types as at
from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.data import packing
from crab_jax.data import samples
from crab_jax.models import row_sampling
from crab_jax.paradigms import decoding_weights
from crab_jax.paradigms import slots
from crab_jax.serving import interface
from crab_jax.serving import shapes as shapes_lib
from crab_jax.training import generation_sharding

_MOST_AT_ONCE = 8  # programs that are compiled: each takes memory of the host
# `Programs._run`, or `Programs._compile` with the same arguments.
_Call = Callable[..., Any]


class Read(NamedTuple):
  """A prompt that waits for its slot."""

  prompt: slots.Prompt
  pieces: tuple[slots.Piece, ...]
  choice: row_sampling.Choice


class Programs:
  """Reads prompts, puts them into slots, decodes the slots.

  Nothing is compiled or put on a device before `warm_up`.

  Args:
    config: the model; a dropout of its adapter plays no part.
    params: its parameters.
    stop_tokens: any of them ends an answer.
    settings: rows and room.
    layout: the devices; None: the default one.
    usual: prompts that come often, for whose lengths programs are compiled.
  """

  def __init__(
    self,
    config: configs.Model,
    params: at.Tree,
    stop_tokens: tuple[int, ...],
    settings: configs.Slots,
    layout: generation_sharding.Layout | None = None,
    usual: Sequence[samples.Lengths] = (),
  ):
    self.config, self.settings = config, settings
    self.stop_tokens = stop_tokens
    self.layout = layout or generation_sharding.one_device()
    self._compiled: dict[tuple, Callable] = {}
    self._returned: dict[tuple, Any] = {}  # shapes
    self._locks: dict[tuple, threading.Lock]
    self._locks = collections.defaultdict(threading.Lock)
    # Prompts are read one at a time; the other devices of a mesh take padding.
    self._prompts = self.layout.whole_rows(1)
    self.slots = self.layout.whole_rows(settings.slots)
    self.shapes = shapes_lib.of(config, settings, usual)
    self._given = params
    self._decoding = decoding_weights.model_of(config, settings.decode_dtype)

  @property
  def compilations(self) -> int:
    """Programs that were compiled."""
    return len(self._compiled)

  def warm_up(self) -> None:
    """Compiles all programs, side by side; runs those of the longest prompt."""
    self._set_up()
    jobs: list[Callable[[], Any]] = [
      functools.partial(self._pass_through, shape, self._compile)
      for shape in reversed(self.shapes)  # the longest takes longest
    ]
    jobs += [
      functools.partial(self._decode, rows, 1, False, self._compile)
      for rows in self.row_counts
    ]
    jobs.append(functools.partial(self._release, 0, self._compile))
    if len(self.row_counts) > 1:
      jobs.append(functools.partial(self._relocate, 0, 0, self._compile))
    workers = min(os.cpu_count() or 1, _MOST_AT_ONCE)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
      try:
        for made in [pool.submit(job) for job in jobs]:
          made.result()
      finally:
        # After an error the rest would only keep it from being told.
        pool.shutdown(wait=False, cancel_futures=True)
    # What has no room on the devices shows now, and not at the first prompt.
    self._state = self._pass_through(self.shapes[-1], self._run)
    for rows in self.row_counts:
      self.decode(rows, steps=1, leave=False)
    self.release(0)

  def _pass_through(self, shape: samples.Lengths, call: _Call) -> Any:
    """Brings a prompt into the first slot by each way; the state it gives."""
    text = shapes_lib.text_alone(self.config, shape.tokens)
    read = self._read(text, shape, interface.Decoding(), call)
    state = self._insert(self._state, 0, read, 2, True, call)
    if self.settings.prefix_bytes:
      piece = self.beginning(read, 1)
      text = shapes_lib.text_alone(self.config, 2)
      more = self._extend(text, 1, piece, interface.Decoding(), call)
      state = self._insert(state, 0, more, 2, True, call)
    return state

  def _decoding_layers(self, turned: bool) -> at.Tree:
    return self._run(
      ("split", turned),
      functools.partial(
        decoding_weights.layers,
        config=self.config,
        dtype=self.settings.decode_dtype,
        turned=turned,
      ),
      self._params,
    )

  def _set_up(self) -> None:
    """Puts the weights and the empty slots on the devices."""
    settings = self.settings
    self._params = self.layout.shard(self._given)
    device = next(iter(jax.tree.leaves(self._params)[0].devices()))
    # Only on a CPU is a step of few rows faster than one of all: accelerators
    # read the same weights for any.
    self._counts_rows = device.platform == "cpu" and self.layout.mesh is None
    turned = self._counts_rows and settings.slots > 1
    self._layers = self._layers_of_one = self._decoding_layers(turned)
    if turned and not settings.decode_dtype:
      # One row is multiplied fastest by kernels as the model stores them.
      self._layers_of_one = self._decoding_layers(turned=False)
    room = settings.prompt_tokens + settings.suffix_tokens
    self._state = self._run(
      ("empty",),
      lambda: slots.empty(self.config, self.slots, room, settings.new_tokens),
    )
    self._where = jax.tree.map(lambda leaf: leaf.sharding, self._state)
    self.row_counts: list[int] = self._row_counts()

  def read(self, sample: samples.Sample, decoding: interface.Decoding) -> Read:
    """Reads a whole prompt.

    Args:
      sample: fits `shapes`.
      decoding: how its first token is picked.
    """
    shape = shapes_lib.smallest(shapes_lib.packed_lengths(sample), self.shapes)
    assert shape is not None  # as `Engine.submit` has looked
    return self._read(sample, shape, decoding, self._run)

  def _read(self, sample, shape, decoding, call: _Call) -> Read:
    rows = configs.Rows(
      rows=self._prompts,
      tokens=shape.tokens,
      frame_pairs=shape.pairs,
      chunks=shape.chunks,
      supervised=1,
      samples=1,
    )
    layout = packing.Layout(self._prompts, rows, self.config, pad=0)
    batch = batch_lib.inputs(layout.stack([[sample]]))
    choice = _choice(decoding, self._prompts)
    prompt, piece = call(
      ("prefill", shape),
      functools.partial(slots.prefill, config=self.config),
      self._params,
      batch,
      choice,
    )
    piece = dataclasses.replace(piece, visible=batch["segments"] > 0)
    return Read(prompt, (piece,), choice)

  def beginning(self, read: Read, tokens: int) -> slots.Piece:
    """The first tokens of a prompt that `read` has read as a whole."""
    (piece,) = read.pieces
    index = np.arange(piece.visible.shape[1])[None]
    return dataclasses.replace(piece, visible=piece.visible & (index < tokens))

  def extend(
    self,
    sample: samples.Sample,
    size: int,
    piece: slots.Piece,
    decoding: interface.Decoding,
  ) -> Read:
    """Reads what a prompt has behind the beginning of another.

    Args:
      sample: of the prompt.
      size: tokens of the beginning.
      piece: its keys and values.
      decoding: how the first token is picked.
    """
    return self._extend(sample, size, piece, decoding, self._run)

  def _extend(self, sample, size, piece, decoding, call: _Call) -> Read:
    room = piece.visible.shape[1]
    whole = self._text(sample, slice(0, None), room + self._suffix)
    suffix = self._text(sample, slice(size, None), self._suffix)
    choice = _choice(decoding, self._prompts)
    prompt, more = call(
      ("extend", room),
      functools.partial(slots.extend, config=self._decoding),
      self._layers,
      piece,
      whole,
      suffix,
      choice,
    )
    more = dataclasses.replace(more, visible=suffix["segments"] > 0)
    return Read(prompt, (piece, more), choice)

  def first_token(self, read: Read) -> int:
    """The first new token of a prompt; waits until it is there."""
    return int(np.asarray(read.prompt.token)[0])

  def insert(self, slot: int, read: Read, limit: int, stops: bool) -> None:
    """Puts a prompt into a slot; see `slots.insert`."""
    self._state = self._insert(self._state, slot, read, limit, stops, self._run)

  def _insert(self, state, slot, read: Read, limit, stops, call: _Call):
    sizes = tuple(piece.visible.shape[1] for piece in read.pieces)
    return call(
      ("insert", sizes),
      slots.insert,
      state,
      np.int32(slot),
      *read[:2],
      np.int32(limit),
      np.bool_(stops),
      read.choice,
      donate=(0,),
      out=self._where,
    )

  def release(self, slot: int) -> None:
    """Ends the answer of a slot."""
    self._state = self._release(slot, self._run)

  def _release(self, slot, call: _Call):
    return call(
      ("release",),
      slots.release,
      self._state,
      np.int32(slot),
      donate=(0,),
      out=self._where,
    )

  def relocate(self, source: int, target: int) -> None:
    """Takes the answer of a slot to another one, which is not in use."""
    self._state = self._relocate(source, target, self._run)

  def _relocate(self, source, target, call: _Call):
    return call(
      ("relocate",),
      slots.relocate,
      self._state,
      np.int32(source),
      np.int32(target),
      donate=(0,),
      out=self._where,
    )

  def decode(self, rows: int, steps: int, leave: bool) -> np.ndarray:
    """One token or more in the first `rows` slots: int32[burst, rows or more].

    Args:
      rows: behind them no slot is in use.
      steps: at most.
      leave: stop as soon as a row has ended.
    """
    self._state, tokens = self._decode(rows, steps, leave, self._run)
    return np.asarray(tokens)

  def _decode(self, rows, steps, leave, call: _Call):
    count = next(count for count in self.row_counts if count >= rows)
    return call(
      ("decode", count),
      functools.partial(
        slots.decode,
        config=self._decoding,
        stop_tokens=self.stop_tokens,
        rows=count,
        burst=self.settings.burst,
      ),
      self._layers_of_one if count == 1 else self._layers,
      self._state,
      np.int32(steps),
      np.bool_(leave),
      donate=(1,),
      out=(self._where, None),
    )

  @property
  def _suffix(self) -> int:
    return self.settings.suffix_tokens

  def _row_counts(self) -> list[int]:
    """Rows that a step may compute, ascending."""
    if not self._counts_rows:
      return [self.slots]
    # Two or three are computed as four, see `few_rows`.
    powers = [1] + [2**i for i in range(2, self.slots.bit_length())]
    return sorted(
      {count for count in powers if count < self.slots} | {self.slots}
    )

  def _text(self, sample, part: slice, room: int) -> at.Batch:
    """Tokens, positions, segments and tasks of a prompt, padded."""
    tokens = sample["tokens"][part]
    made: at.Batch = {
      "tokens": np.zeros((self._prompts, room), np.int32),
      "segments": np.zeros((self._prompts, room), np.int32),
      "positions": np.zeros((self._prompts, room, 3), np.int32),
      "tasks": np.full((self._prompts, room), -1, np.int32),
    }
    here = slice(0, len(tokens))
    made["tokens"][0, here] = tokens
    made["segments"][0, here] = 1
    made["positions"][0, here] = sample["positions"][part]
    made["tasks"][0, here] = sample["task"]
    return made

  def _run(self, key: tuple, function, *arguments, donate=(), out=None) -> Any:
    """Calls a program, which is compiled when it is called first."""
    if key not in self._compiled:
      self._compile(key, function, *arguments, donate=donate, out=out)
    with self.layout.scope():
      return self._compiled[key](*arguments)

  def _compile(self, key, function, *arguments, donate=(), out=None) -> Any:
    """Compiles a program once, in any thread; the shapes that it returns.

    Args:
      key: of the program.
      function: what it computes.
      *arguments: arrays, or their shapes.
      donate: arguments whose memory it takes.
      out: the shardings of what it returns; None: as the compiler likes.
    """
    with self._locks[key]:
      if key not in self._compiled:
        with self.layout.scope():
          jitted = jax.jit(function, donate_argnums=donate, out_shardings=out)
          lowered = jitted.lower(*arguments)
          made = lowered.compile()
        self._returned[key] = jax.tree.map(
          lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
          ),
          lowered.out_info,
          made.output_shardings,
        )
        self._compiled[key] = made
    return self._returned[key]


def _choice(decoding: interface.Decoding, rows: int) -> row_sampling.Choice:
  def alike(value, dtype):
    return np.full(rows, value, dtype)

  return row_sampling.Choice(
    temperature=alike(decoding.temperature, np.float32),
    top_k=alike(decoding.top_k, np.int32),
    top_p=alike(decoding.top_p, np.float32),
    penalty=alike(decoding.repetition_penalty, np.float32),
    seed=alike(decoding.seed, np.uint32),
  )
