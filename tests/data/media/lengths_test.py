"""Of every container: whole files are whole, and cut ones never pass."""

import av
import pytest

from crab_jax.data import statuses
from crab_jax.data.media import frames
from crab_jax.data.media import lengths
from crab_jax.data.media import sound
from crab_jax.data.media import streams
from tests.data.media import files as media_files

_MOOV_FIRST = {"movflags": "faststart"}
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
_FILMS = {
  "a.mp4": {},
  "first.mp4": {"options": _MOOV_FIRST},
  "fragments.mp4": {"options": _FRAGMENTED},
  "a.mov": {},
  "a.mkv": {},
  "a.webm": {"video": "libvpx-vp9", "audio": "libopus", "rate": 48_000},
  "a.ts": {"video": "mpeg2video", "fps": 25},
  "h264.ts": {"video": "libx264"},
  "a.mpg": {"video": "mpeg2video", "audio": "mp2", "fps": 25},
  "a.flv": {"video": "flv"},
  "a.avi": {"audio": "libmp3lame"},
}
_SOUNDS = {
  "a.mp3": "libmp3lame",
  "untagged.mp3": "libmp3lame",
  "a.mp2": "mp2",
  "a.aac": "aac",
  "a.m4a": "aac",
  "first.m4a": "aac",
  "a.ac3": "ac3",
  "a.eac3": "eac3",
  "a.opus": "libopus",
  "a.flac": "flac",
  "a.wav": "pcm_s16le",
  "rf64.wav": "pcm_s16le",
  "a.w64": "pcm_s16le",
  "a.aiff": "pcm_s16be",
  "a.au": "pcm_s16be",
  "a.caf": "pcm_s16be",
  "a.wv": "wavpack",
  "a.tta": "tta",
  "a.mka": "aac",
}
_OPTIONS = {
  "untagged.mp3": {"write_xing": "0"},
  "first.m4a": _MOOV_FIRST,
  "rf64.wav": {"rf64": "always"},
}
_SECONDS = 3.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A whole file of every kind."""
  folder = tmp_path_factory.mktemp("lengths")
  for name, options in _FILMS.items():
    media_files.write(folder / name, _SECONDS, **options)
  for name, codec in _SOUNDS.items():
    rate = 48_000 if codec == "libopus" else 44_100
    media_files.write(
      folder / name, _SECONDS, video=None, audio=codec, rate=rate,
      options=_OPTIONS.get(name),
    )  # fmt: skip
  return folder


@pytest.mark.parametrize("name", [*_FILMS, *_SOUNDS])
def test_a_whole_sound_is_read_to_its_end(folder, name):
  found = sound.read_audio(folder / name)
  assert found.kept == pytest.approx(_SECONDS, abs=0.1)
  heard = media_files.second_heard(found.samples, 2.5)
  assert heard == pytest.approx(2.5, abs=0.15)


@pytest.mark.parametrize("name", _FILMS)
def test_a_whole_film_is_read_to_its_end(folder, name):
  found = frames.read_video(folder / name, 5, 16)
  fps = _FILMS[name].get("fps", media_files.FPS)
  assert found.decodable == _SECONDS * fps
  assert found.seconds[-1] == pytest.approx(_SECONDS, abs=1.1 / fps)


def _passes(read, path, *args):
  try:
    read(path, *args)
  except statuses.RecordError as error:
    assert error.status in ("truncated", "bad_audio", "bad_video")
    assert path.name in error.reason
    return False
  return True


@pytest.mark.parametrize("share", [0.35, 0.5, 0.667, 0.81])
@pytest.mark.parametrize("name", [*_FILMS, *_SOUNDS])
def test_a_cut_file_has_a_status(folder, name, share):
  path = media_files.cut(folder / name, share)
  assert not _passes(sound.read_audio, path)
  if name in _FILMS:
    assert not _passes(frames.read_video, path, 5, 16)


@pytest.mark.parametrize(
  "name", ["first.mp4", "a.webm", "a.mkv", "a.flv", "a.ts", "a.opus", "a.mp3"]
)
def test_what_is_cut_is_called_truncated(folder, name):
  path = media_files.cut(folder / name, 0.7)
  reason = media_files.fails("truncated", sound.read_audio, path)
  assert path.name in reason


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.flv"])
def test_a_sound_may_end_before_its_film(tmp_path, name):
  path = tmp_path / name
  with av.open(str(path), "w") as container:
    codec = "flv" if name == "a.flv" else "mpeg4"
    film = media_files.film_packets(container, codec, media_files.greys(50))
    wave = media_files.chirp(2.0, 44_100)
    short = media_files.sound_packets(container, "aac", wave, 44_100)
    media_files.mux(container, film, short)
  assert sound.read_audio(path).kept == pytest.approx(2.0, abs=0.1)
  assert frames.read_video(path, 5, 16).decodable == 50


def _span(start, end, packets=5):
  return streams.Span(packets=packets, times=[start, start], end=end)


@pytest.mark.parametrize(
  ("spans", "reached"),
  [
    ([_span(0.0, 9.9), _span(0.1, 10.0)], 10.0),
    # A stream that begins when the file is over.
    ([_span(0.0, 2.0), _span(3e6, 3e6 + 1)], 2.0),
    # All begin late: a part of a broadcast, whole or cut.
    ([_span(500.0, 510.0), _span(500.5, 509.0)], 10.0),
    ([_span(3e6, 3e6 + 1), streams.Span()], 1.0),
    ([streams.Span()], 0.0),
  ],
)
def test_where_streams_end_by_the_clock_of_the_file(spans, reached):
  assert lengths._reached(10.0, spans) == pytest.approx(reached)
