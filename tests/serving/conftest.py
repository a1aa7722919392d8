"""Fixtures of the tests of the server: one that listens, over a double."""

import asyncio
import dataclasses
import json
import threading

import av
import numpy as np
import pytest
import uvicorn

from crab_jax import configs
from crab_jax.serving import app
from crab_jax.serving import keys
from crab_jax.serving import service as services
from crab_jax.serving import uploads
from tests.data import clips
from tests.serving import doubles


def _mp4(folder):
  """A video with sound, without, and a sound; four seconds each."""
  clips.write_video(folder / "silent.mp4", 16)
  clips.write_audio(folder / "a.wav", clips.tone(4.0))
  clips.write_image(folder / "p.png", np.full((30, 60, 3), 90, np.uint8))
  _clip(folder / "clip.mp4", "mpeg4", "aac")
  _clip(folder / "shown.mp4", "libx264", "aac")  # that a browser plays


def _clip(path, pictures, sounds):
  """Four seconds of growing grey and of a tone."""
  with av.open(str(path), "w") as out:
    video = out.add_stream(pictures, rate=4)
    video.width, video.height, video.pix_fmt = 128, 64, "yuv420p"
    sound = out.add_stream(sounds, rate=16000, layout="mono")
    for index in range(16):
      image = np.full((64, 128, 3), 10 * index, np.uint8)
      out.mux(video.encode(av.VideoFrame.from_ndarray(image)))
    wave = av.AudioFrame.from_ndarray(
      clips.tone(4.0)[None], format="fltp", layout="mono"
    )
    wave.sample_rate = 16000
    out.mux(sound.encode(wave))
    out.mux(video.encode())
    out.mux(sound.encode())


@pytest.fixture(scope="session")
def media(tmp_path_factory):
  """name -> content of small media files."""
  folder = tmp_path_factory.mktemp("media")
  _mp4(folder)
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="session")
def found_model():
  return doubles.model()


class Listening:
  """A server in a thread of its own.

  Attributes:
    url: where it listens.
    engine: the double behind it.
    service: between them.
  """

  def __init__(
    self, folder, model, valid=(), engine=None, fetcher=None, **changes
  ):
    limits = dataclasses.replace(configs.Serving(), wait_seconds=0.2, **changes)
    self.engine = engine or doubles.Engine(model)
    self.service = None
    self._server = None
    self._begun = threading.Event()
    self._parts = (folder, model, valid, limits, fetcher)
    self.thread = threading.Thread(target=self._run)
    self.thread.start()
    assert self._begun.wait(60)

  def _run(self):
    asyncio.run(self._serve())

  async def _serve(self):
    folder, model, valid, limits, fetcher = self._parts
    self.service = services.Service(
      model,
      self.engine,
      doubles.maker(model),
      limits,
      uploads.Store(folder, limits),
      keys.Keys(valid, limits.key_rpm, limits.key_slots),
      vllm_names=True,
      fetcher=fetcher,
    )
    self.loop = asyncio.get_running_loop()
    application = app.create(self.service, {"model": "double"})
    config = uvicorn.Config(
      application, port=0, lifespan="off", log_level="warning", http="h11",
      timeout_graceful_shutdown=2,
    )  # fmt: skip
    self._server = uvicorn.Server(config)
    self._server.install_signal_handlers = lambda: None
    serving = asyncio.create_task(self._server.serve())
    while not self._server.started:
      await asyncio.sleep(0.01)
    port = self._server.servers[0].sockets[0].getsockname()[1]
    self.url = f"http://127.0.0.1:{port}"
    self._begun.set()
    await serving
    self.service.pool.stop()

  def close(self):
    self._server.should_exit = True
    self.thread.join(20)
    assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def listening(tmp_path_factory, found_model):
  """A server that needs no key."""
  server = Listening(tmp_path_factory.mktemp("store") / "media", found_model)
  yield server
  server.close()


def events(text):
  """The JSON values of a stream; "[DONE]" stands for itself."""
  found = []
  for block in text.split("\n\n"):
    if block.startswith("data: "):
      data = block.removeprefix("data: ")
      found.append(data if data == "[DONE]" else json.loads(data))
  return found
