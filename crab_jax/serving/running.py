"""The life of a server: its model, its start, its work, its end.

A first SIGTERM (or Ctrl-C) drains: /health says 503 at once, new requests get
503, running ones may go on for `Serving.drain_seconds`, then end with an error.
A second one ends them now. The engine's failure ends the process.
"""

import asyncio
import dataclasses
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

import jax
import prometheus_client

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.evaluation import folder as folders
from crab_jax.evaluation.masking import clip_masks
from crab_jax.serving import app
from crab_jax.serving import asked
from crab_jax.serving import engine as engines
from crab_jax.serving import keys as keys_lib
from crab_jax.serving import listening
from crab_jax.serving import service as services
from crab_jax.serving import shapes
from crab_jax.serving import uploads
from crab_jax.training import generation_sharding
from crab_jax.weights import adapter

_LOOK_SECONDS = 0.1  # between two looks at what runs
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a server is started with.

  Attributes:
    checkpoint: a model folder.
    adapter: an adapter folder for it, or None.
    masks: the folder of a mask model, or None.
    given: the table of a task file, or None.
    host, port: where it listens; port 0: one that is free.
    metrics_port: where metrics are shown apart; None: at /metrics.
    keys: of clients; (): none is needed.
    is_open: whether it may listen to other machines without keys.
    root_path: below which a proxy shows it.
    vllm_names: see `metrics.Metrics`.
    limits: of requests.
    slots: of the engine.
  """

  checkpoint: files.Path
  adapter: files.Path | None
  masks: files.Path | None
  given: tasks.Tasks | None
  host: str
  port: int
  metrics_port: int | None
  keys: tuple[str, ...]
  is_open: bool
  root_path: str
  vllm_names: bool
  limits: configs.Serving
  slots: configs.Slots


def run(settings: Settings) -> None:
  """Serves until a signal.

  Raises:
    UserError: whatever a user can cause.
  """
  for number in _SIGNALS:  # until the event loop has its own
    signal.signal(number, lambda *_: sys.exit(0))
  require_keys(settings.host, settings.keys, settings.is_open)
  # Before the model is read, which takes minutes at 7B.
  listener = listening.bind(settings.host, settings.port)
  with listener, files.scratch() as scratch:
    model, table = _model(settings)
    masks = clip_masks.ClipMasks(settings.masks) if settings.masks else None
    maker = folders.sample_maker(model, asked.with_free_question(table))
    engine = _engine(model, settings.slots, shapes.usual(maker))
    service = services.Service(
      model,
      engine,
      maker,
      settings.limits,
      uploads.Store(scratch / "media", settings.limits),
      keys_lib.Keys(
        settings.keys, settings.limits.key_rpm, settings.limits.key_slots
      ),
      settings.vllm_names,
      masks=masks,
    )
    _show_metrics(settings, service)
    asyncio.run(serve(settings, service, listener))


def require_keys(host: str, keys: tuple[str, ...], is_open: bool) -> None:
  """Checks that not everybody may ask unless the user wants it.

  Raises:
    UserError: everybody might.
  """
  if host in _LOCAL or keys:
    return
  if not is_open:
    raise errors.UserError(
      f"--host={host} lets other machines ask: give --api_keys_file,"
      " or --open to let everybody"
    )
  print("warning: every machine that reaches this one may ask", flush=True)


def _model(settings: Settings) -> tuple[folders.Model, tasks.Tasks]:
  """The model, and the table of its tasks and those of the task file."""
  table = folders.tasks_of(settings.checkpoint, settings.adapter)
  if settings.given is not None:
    here = f"the checkpoint {settings.checkpoint}"
    table = table.joined(settings.given, here, "the task file")
  model = folders.load(settings.checkpoint, settings.adapter)
  folders.require_numbers(model, table)
  return model, table


def _engine(
  model: folders.Model, slots: configs.Slots, usual: Sequence[samples.Lengths]
) -> engines.Engine:
  """The engine, along all chips of this host."""
  # No prompt is longer than the model's context.
  room = min(slots.prompt_tokens, model.config.decoder.context)
  slots = dataclasses.replace(slots, prompt_tokens=room)
  mesh = configs.Mesh(strategy="mesh")
  layout = generation_sharding.local(mesh, model.config)
  return engines.of_folder(model, slots, usual, layout)


def _show_metrics(settings: Settings, service: services.Service) -> None:
  """Shows the metrics at a port of their own, if there is one."""
  if settings.metrics_port is None:
    return
  try:
    prometheus_client.start_http_server(
      settings.metrics_port, settings.host, service.metrics.registry
    )
  except OSError as error:
    raise errors.UserError(
      f"--metrics_port={settings.metrics_port} cannot be had: {error.strerror}"
    ) from error


async def serve(
  settings: Settings, service: services.Service, listener: socket.socket
) -> None:
  """Serves until a signal; in the main thread.

  Args:
    settings: where and with which limits.
    service: answers.
    listener: of `listening.bind`.

  Raises:
    BaseException: what has ended the engine.
  """
  await _Process(settings, service, listener).run()


class _Process:
  """The event loop of a server."""

  def __init__(
    self,
    settings: Settings,
    service: services.Service,
    listener: socket.socket,
  ):
    self._settings, self._service = settings, service
    self._listener = listener
    self._stops = 0  # signals so far

  async def run(self) -> None:
    """See `serve`."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
      loop.add_signal_handler(number, self._stop)
    settings, service = self._settings, self._service
    about = {
      "model": settings.checkpoint.name,
      "weights": adapter.fingerprint(service.model.params, adapters=True),
    }
    application = app.create(service, about, settings.metrics_port is not None)
    server = listening.server(application, settings.limits, settings.root_path)
    serving = asyncio.create_task(server.serve([self._listener]))
    address = listening.address_of(self._listener)
    service.engine.start()
    opening = asyncio.create_task(service.pool.start())
    try:
      await self._until(lambda: service.engine.ready and opening.done())
      if not self._stops:
        opening.done() and opening.result()
        print(f"serving {settings.checkpoint} at {address}", flush=True)
      await self._until(lambda: False)
      print("draining: no more requests are taken", flush=True)
      await self._drain()
    finally:
      failure = service.engine.failure
      service.end_all()
      server.should_exit = True
      await serving
      opening.cancel()
      service.pool.stop()
      service.store.close()
    if failure is not None:
      raise told(failure)
    if not service.engine.ready:
      _leave()
    await asyncio.to_thread(service.engine.stop, 0.0)

  def _stop(self) -> None:
    self._stops += 1
    self._service.is_draining = True

  async def _until(self, condition) -> None:
    """Waits for a condition, a signal, or the engine's failure."""
    while not (
      condition() or self._stops or self._service.engine.failure is not None
    ):
      await asyncio.sleep(_LOOK_SECONDS)

  async def _drain(self) -> None:
    """Waits for running requests; a second signal ends the wait."""
    end = time.monotonic() + self._settings.limits.drain_seconds
    while self._service.running and self._stops == 1 and time.monotonic() < end:
      await asyncio.sleep(_LOOK_SECONDS)


def told(failure: BaseException) -> BaseException:
  """What ended the engine; what a user can mend in a line of his."""
  if isinstance(failure, jax.errors.JaxRuntimeError) and (
    "RESOURCE_EXHAUSTED" in str(failure)
  ):
    return errors.UserError(
      "the slots have no room beside the model: give fewer --slots, or less"
      " --prompt_tokens and --new_tokens (plan --serve tells what fits)"
    )
  return failure


def _leave() -> NoReturn:
  """Ends a process whose engine's thread compiles, which nothing can stop."""
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(0)
