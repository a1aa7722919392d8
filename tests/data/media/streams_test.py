"""Files of every kind that cannot be read, and what demuxing finds of others."""

import pathlib

import numpy as np
import pytest

from crab_jax.data import statuses
from crab_jax.data.media import frames
from crab_jax.data.media import pictures
from crab_jax.data.media import sound
from crab_jax.data.media import streams
from tests.data.media import files as media_files

_REAL = (
  pathlib.Path(__file__).resolve().parents[3] / "../shared/real_clips/AVUIE_2"
)
_READERS = [
  (frames.read_video, (4, 16)),
  (pictures.read_image, (16,)),
  (pictures.read_mask, ()),
  (sound.read_audio, ()),
]


@pytest.mark.parametrize(("read", "more"), _READERS)
@pytest.mark.parametrize("name", ["nothing", "", "a\0b", "x" * 5000])
def test_missing_files_are_missing(tmp_path, read, more, name):
  media_files.fails("missing_file", read, tmp_path / name, *more)


@pytest.mark.parametrize(
  "error", [MemoryError, RecursionError, KeyError, OSError]
)
def test_whatever_is_raised_becomes_a_status_with_the_file(tmp_path, error):
  path = tmp_path / "x.mp4"
  path.write_bytes(b"x")

  def read(path):
    with streams.failures(statuses.Status.BAD_VIDEO, path):
      raise error

  reason = media_files.fails("bad_video", read, path)
  assert reason == f"{path} does not decode: {error.__name__}"


def test_demuxing_finds_the_ends_of_both_streams(tmp_path):
  path = media_files.write(tmp_path / "x.mkv", 2.0, later_film=0.5)
  with streams.opened(path) as container:
    found = streams.spans(container)
    film = found[streams.choose(container, "video", found).index]
    heard = found[streams.choose(container, "audio", found).index]
  assert film.packets == len(film.times) == 20
  assert (film.start, film.end) == (0.5, pytest.approx(2.5))
  assert film.interval == pytest.approx(0.1, abs=0.001)
  assert heard.seconds == pytest.approx(2.0, abs=0.07)
  assert not heard.partial


def test_seconds_without_a_decoded_frame_are_an_error():
  times = list(np.arange(100) / 10)
  span = streams.Span(packets=100, times=times)
  streams.require_all(span, times)
  streams.require_all(span, times[1:-1])
  for kept in (times[:90], times[10:], times[:40] + times[50:]):
    with pytest.raises(ValueError, match="do not decode"):
      streams.require_all(span, kept)
  holes = times[:40] + times[50:]
  streams.require_all(streams.Span(packets=90, times=holes), holes)


@pytest.mark.skipif(not _REAL.is_dir(), reason="no real clips beside the repo")
def test_a_real_clip_decodes():
  name = "-67UNKFmRLk"
  video = frames.read_video(_REAL / f"ave/video/{name}.mp4", 10, 224)
  assert (video.decodable, len(video.frames)) == (250, 10)
  assert np.std(video.frames[5]) > 10
  heard = sound.read_audio(_REAL / f"ave/audio/{name}.mp3")
  assert heard.kept == pytest.approx(10, abs=0.05)


def test_tags_in_another_encoding_do_no_harm(tmp_path):
  path = media_files.write(
    tmp_path / "x.mp3", 1.0, video=None, audio="libmp3lame"
  )
  tag = b"TAG" + "Möwen".encode("latin-1").ljust(125, b"\0")
  path.write_bytes(path.read_bytes() + tag)
  assert sound.read_audio(path).kept == pytest.approx(1.0, abs=0.06)
