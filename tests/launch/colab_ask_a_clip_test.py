"""launch/colab_ask_a_clip.ipynb: a server in the background, and its answers."""

import json
import socket

import av
import pytest

from tests import model_folders
from tests.data.media import files as media_files
from tests.launch import notebooks
from tests.models import random_parameters


def _free_port() -> int:
  with socket.create_server(("127.0.0.1", 0)) as found:
    return found.getsockname()[1]


def _write_film(path):
  """Three seconds of frames with a sound track."""
  with av.open(str(path), "w") as container:
    film = media_files.film_packets(container, "mpeg4", media_files.greys(30))
    wave = media_files.chirp(3, 44_100)
    sound = media_files.sound_packets(container, "aac", wave, 44_100)
    media_files.mux(container, film, sound)


def _write_model(folder):
  params = random_parameters.draw(model_folders.CONFIG)
  model_folders.save_model(folder / "model", params)
  model_folders.save_adapter(folder / "adapter", params)


@pytest.mark.slow
def test_it_answers_by_code_and_shows_the_page(tmp_path, monkeypatch):
  _write_model(tmp_path)
  _write_film(tmp_path / "my clip.mp4")
  (tmp_path / "gin").symlink_to(notebooks.ROOT / "gin")
  kernel = notebooks.Kernel(monkeypatch, "colab_ask_a_clip")
  monkeypatch.chdir(tmp_path)
  port = _free_port()
  try:
    kernel.run(
      CHECKPOINT=str(tmp_path / "model"),
      ADAPTER=str(tmp_path / "adapter"),
      CLIP=str(tmp_path / "my clip.mp4"),
      TASKS="s4",
      PORT=port,
      FLAGS="--slots=1 --prompt_tokens=300 --new_tokens=8",
    )
    assert kernel.colab == [("page", (port,))]
    found = json.loads((tmp_path / "answers.json").read_text())
    assert [answer["task"] for answer in found["answers"]] == ["s4"]
    assert kernel.names["SERVER"].poll() is None
  finally:
    server = kernel.names.get("SERVER")
    if server is not None:
      server.terminate()
      assert server.wait(60) == 0


def test_a_server_that_ends_stops_the_notebook(tmp_path, monkeypatch, capsys):
  kernel = notebooks.Kernel(monkeypatch, "colab_ask_a_clip")
  kernel.names["shell"] = kernel.lines.append
  monkeypatch.chdir(tmp_path)
  (tmp_path / "gin").symlink_to(notebooks.ROOT / "gin")
  with pytest.raises(RuntimeError, match="the server ended"):
    kernel.run(CHECKPOINT="nosuch", ADAPTER="", PORT=_free_port())
  assert "nosuch" in capsys.readouterr().out
