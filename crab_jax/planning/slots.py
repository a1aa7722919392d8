"""What a server costs on one host of a TPU slice: a prompt, and a token.

Two programs of `paradigms.slots`: `prefill` reads the longest prompt that the
slots have room for, one at a time, and `decode` takes all slots one token
further. The memory of the slots is reserved at the start, so what fits here
fits whatever is asked.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from crab_jax import configs
from crab_jax.models import row_sampling
from crab_jax.paradigms import decoding_weights
from crab_jax.paradigms import slots as slots_lib
from crab_jax.planning import aot
from crab_jax.planning import chips
from crab_jax.planning import flops
from crab_jax.planning import generation
from crab_jax.planning import generation_programs
from crab_jax.planning import report
from crab_jax.serving import shapes
from crab_jax.training import generation_sharding


class Programs:
  """The programs of a server for shapes alone.

  Args:
    model: the network.
    layout: of parameters and slots.
    devices: of the host.
    settings: rows and room.
  """

  def __init__(
    self,
    model: configs.Model,
    layout: generation_sharding.Layout,
    devices: Sequence[Any],
    settings: configs.Slots,
  ):
    self._model, self._layout, self._settings = model, layout, settings
    self._decoding = decoding_weights.model_of(model, settings.decode_dtype)
    most = shapes.largest(model, settings)
    prompts = generation_programs.Prompts(
      layout.whole_rows(1),
      most.tokens,
      most.pairs,
      most.chunks,
      settings.new_tokens,
    )
    given = generation_programs.Programs(model, layout, devices, prompts)
    self.params, self.batch = given.params, given.batch
    self.slots = layout.whole_rows(settings.slots)

  def prefill(self) -> aot.Program:
    """The pass over one prompt, compiled."""
    run = functools.partial(slots_lib.prefill, config=self._model)
    rows = self.batch["tokens"].shape[0]
    choice = jax.eval_shape(lambda: row_sampling.greedy(rows))
    with self._layout.scope():
      lowered = jax.jit(run).lower(self.params, self.batch, choice)
    return aot.compile_lowered(lowered)

  def decode(self) -> tuple[aot.Program, Any, Any]:
    """One token in all slots, compiled; and the shapes of its arguments."""
    settings = self._settings
    layers = self._made(
      functools.partial(
        decoding_weights.layers,
        config=self._model,
        dtype=settings.decode_dtype,
      ),
      self.params,
    )
    room = settings.prompt_tokens + settings.suffix_tokens
    state = self._made(
      lambda: slots_lib.empty(
        self._model, self.slots, room, settings.new_tokens
      )
    )
    run = functools.partial(
      slots_lib.advance, config=self._decoding, stop_tokens=(0,)
    )
    with self._layout.scope():
      # As the engine does: the slots are written in place.
      lowered = jax.jit(run, donate_argnums=1).lower(layers, state)
    return aot.compile_lowered(lowered), layers, state

  def _made(self, function, *arguments) -> Any:
    """Shapes of what a program returns, as the compiler shards it."""
    with self._layout.scope():
      compiled = jax.jit(function).lower(*arguments).compile()
      found = jax.eval_shape(function, *arguments)
    return generation_programs.with_shardings(found, compiled.output_shardings)


def plan(
  model: configs.Model,
  mesh: configs.Mesh,
  topology: str,
  settings: configs.Slots,
) -> list[generation.Phase]:
  """Compiles both programs.

  Args:
    model: the network, with its adapter.
    mesh: as of training; a host's part of it is what counts.
    topology: the slice.
    settings: of the server.

  Raises:
    UserError: libtpu is missing, or the model does not fit the devices.
  """
  host = chips.host_of(topology)
  chip, count = chips.of_topology(host)
  devices = aot.devices(host)
  layout = generation_sharding.local(mesh, model, devices)
  programs = Programs(model, layout, devices, settings)
  prompt = generation.rows_of(programs.batch)
  sides = dict(layout.mesh.shape) if layout.mesh else {"data": 1}
  about = {
    "topology": host,
    "slices": 1,
    "chip": chip,
    "chips": count,
    "mesh": sides,
    "hosts": mesh.slices * chips.of_topology(topology)[1] // count,
    "new_tokens": settings.new_tokens,
  }
  decode, layers, state = programs.decode()
  cache = report.shard_bytes((state.past, state.cache))
  weights = report.shard_bytes(layers)
  beside = generation.beside(programs.params, model)
  # Prompts kept for other questions lie on the chips as well.
  kept = settings.prefix_bytes / count
  ways = count // sides.get("tensor", 1)
  batch = generation.bytes_of(programs.batch) / ways
  prefill = programs.prefill()
  read = generation.memory_of(
    prefill,
    chip,
    programs.params,
    batch=batch,
    cache=cache,
    held=cache + weights + kept,
  )
  step = generation.memory_of(
    decode, chip, layers, batch=0.0, cache=cache, held=beside + kept
  )
  rows = configs.Rows(
    rows=programs.slots,
    tokens=state.visible.shape[1],
    frame_pairs=prompt.frame_pairs,
    chunks=prompt.chunks,
    supervised=1,
    samples=1,
  )
  # On average half of the new tokens are there.
  keys = rows.tokens + settings.new_tokens / 2
  return [
    generation.phase(
      generation.PREFILL,
      prefill,
      read,
      flops.prefill(model, prompt),
      rows=prompt,
      **about,
    ),
    generation.phase(
      generation.DECODE,
      decode,
      step,
      flops.decode(model, programs.slots, keys),
      rows=rows,
      **about,
    ),
  ]


def answers_per_second(
  phases: Sequence[generation.Phase],
) -> tuple[float, float] | None:
  """Of a host, at worst and at best; None: a phase does not fit.

  Every slot is used, every prompt is the longest, every answer too.
  """
  prefill, decode = (phase.times for phase in phases)
  if prefill is None or decode is None:
    return None
  slots = phases[1].rows.rows
  steps = phases[1].new_tokens - 1  # the prefill gives the first token
  worst = slots * prefill.worst + steps * decode.worst
  best = slots * prefill.best + steps * decode.best
  return slots / worst, slots / best


def as_json(phases: Sequence[generation.Phase]) -> dict[str, Any]:
  """The phases as JSON values, by name."""
  found = generation.as_json(phases)
  if rates := answers_per_second(phases):
    found["answers_per_second"] = {"worst": rates[0], "best": rates[1]}
  return found
