"""Media encoded anew."""

import io

import av
import numpy as np
import pytest

from crab_jax.annotation import cutting
from crab_jax.annotation import showing
from crab_jax.annotation import truths
from crab_jax.data.media import frames
from tests.data import clips
from tests.data.media import files as media_files


def _halves(path):
  """A clip 64 x 48, dark on the left, of three seconds."""
  image = np.zeros((48, 64, 3), np.uint8)
  image[:, 32:] = 200
  with av.open(str(path), "w") as container:
    packets = media_files.film_packets(container, "mpeg4", [image] * 30)
    media_files.mux(container, packets)
  return path


def test_a_part_of_a_turned_video_stands_upright(tmp_path):
  """A phone's video is coded lying; the part has no matrix to turn it."""
  path = _halves(tmp_path / "x.mp4")
  media_files.turn(path, [[0, 1], [-1, 0]])  # by a quarter, clockwise
  cutting.frames_of(path, tmp_path / "part.mp4", (1.0, 2.0))
  part = frames.read_video(tmp_path / "part.mp4", 2, 64)
  whole = frames.read_video(path, 2, 64)
  assert part.decodable == media_files.FPS
  np.testing.assert_allclose(part.frames[0], whole.frames[0], atol=12)
  assert part.frames[0][:16].mean() < 30 < 150 < part.frames[0][-16:].mean()


def test_a_part_is_of_the_video_and_not_of_its_cover(tmp_path):
  path = tmp_path / "x.mp4"
  with av.open(str(path), "w") as container:
    cover = [np.full((200, 300, 3), 255, np.uint8)]
    first = media_files.film_packets(container, "mjpeg", cover)
    film = media_files.greys(30)
    media_files.mux(
      container, first, media_files.film_packets(container, "mpeg4", film)
    )
  cutting.frames_of(path, tmp_path / "part.mp4", (1.0, 2.0))
  assert frames.read_video(tmp_path / "part.mp4", 2, 64).decodable == 10


def test_a_small_video_keeps_shape_and_time(tmp_path):
  with av.open(str(tmp_path / "x.mp4"), "w") as container:
    film = [np.full((120, 300, 3), 5 * i, np.uint8) for i in range(40)]
    media_files.mux(
      container, media_files.film_packets(container, "mpeg4", film)
    )
  data = cutting.small(tmp_path / "x.mp4", 100)
  with av.open(io.BytesIO(data)) as container:
    (stream,) = container.streams
    assert (stream.width, stream.height) == (100, 40)
    assert stream.average_rate == 8  # of 10
    found = [
      (float(f.time), f.to_ndarray(format="gray").mean())
      for f in container.decode(stream)
    ]
  assert len(found) == 32
  for time, level in found:
    assert abs(level - 50 * time) < 8  # five levels a frame, ten a second


def test_what_does_not_decode_is_named(tmp_path):
  clips.write_audio(tmp_path / "x.wav", clips.tone(1))
  for call in (
    lambda: cutting.small(tmp_path / "x.wav", 100),
    lambda: cutting.frames_of(
      tmp_path / "x.wav", tmp_path / "y.mp4", (0.0, 1.0)
    ),
  ):
    with pytest.raises(truths.Unbuildable, match=r"x\.wav"):
      call()


def test_decoding_may_begin_at_the_key_frame_before(tmp_path):
  clips.write_video(tmp_path / "x.mp4", 40)  # a key frame every 8, 4 a second
  whole = list(showing.frames(tmp_path / "x.mp4"))
  late = list(showing.frames(tmp_path / "x.mp4", start=7.1))
  assert [second for second, _ in whole] == [i / 4 for i in range(40)]
  begun = late[0][0]
  assert 0 < begun <= 7.1
  assert [s for s, _ in late] == [s for s, _ in whole if s >= begun]
