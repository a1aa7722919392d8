import os
import pathlib
import re
import struct

import av
import numpy as np
import pytest
import torch
from PIL import Image

from crab_jax.data.media import frames
from crab_jax.data.media import streams
from tests.data import clips
from tests.data.media import files as media_files


@pytest.mark.parametrize("wanted", [1, 2, 3, 4, 5, 7, 10, 15])
def test_frame_indices_are_those_of_torch(wanted):
  for decodable in [*range(wanted, 400), 1800, 54_321]:
    expected = torch.linspace(0, decodable - 1, wanted).round().long()
    found = frames.frame_indices(decodable, wanted)
    np.testing.assert_array_equal(found, expected.numpy(), str(decodable))


def test_ties_go_to_the_even_frame():
  # 0, 2.5, 5 and 0, 3.5, 7
  assert frames.frame_indices(6, 3).tolist() == [0, 2, 5]
  assert frames.frame_indices(8, 3).tolist() == [0, 4, 7]


def test_frames_are_those_at_the_indices(tmp_path):
  path = tmp_path / "-x.mp4"
  clips.write_video(path, 40, fps=4)
  video = frames.read_video(path, 10, 32)
  assert video.decodable == 40
  indices = frames.frame_indices(40, 10)
  for frame, index in zip(video.frames, indices, strict=True):
    assert frame.shape == (32, 32, 3)
    np.testing.assert_allclose(frame, clips.level(int(index)), atol=2.4)
  np.testing.assert_allclose(video.seconds, indices / 4)
  assert video.duration == pytest.approx(10.0)


def test_a_short_video_repeats_its_last_frame(tmp_path):
  path = tmp_path / "x.mp4"
  clips.write_video(path, 3)
  video = frames.read_video(path, 10, 16)
  assert video.decodable == 3
  levels = [frame.mean() for frame in video.frames]
  expected = [clips.level(min(index, 2)) for index in range(10)]
  np.testing.assert_allclose(levels, expected, atol=2.4)
  assert video.seconds[2:] == [0.5] * 8


def test_the_frames_of_an_avi_are_counted(tmp_path):
  path = tmp_path / "x.avi"
  clips.write_video(path, 25, fps=25)
  video = frames.read_video(path, 4, 16)
  assert video.decodable == 25
  np.testing.assert_allclose(video.seconds, [0, 0.32, 0.64, 0.96], atol=0.05)


def test_a_wrong_count_of_the_container_is_mended(tmp_path, monkeypatch):
  path = tmp_path / "x.mp4"
  clips.write_video(path, 20)
  expected = frames.read_video(path, 4, 16)
  demux = streams.spans

  def three_more(container):
    found = demux(container)
    found[0].packets += 3
    return found

  monkeypatch.setattr(streams, "spans", three_more)
  found = frames.read_video(path, 4, 16)
  assert found.decodable == 20
  np.testing.assert_array_equal(found.frames, expected.frames)


def test_a_truncated_video_is_bad(tmp_path):
  path = tmp_path / "x.mp4"
  clips.write_video(path, 40)
  clips.cut_short(path, 0.7)
  reason = media_files.fails("bad_video", frames.read_video, path, 4, 16)
  assert "x.mp4" in reason


def test_a_damaged_video_is_bad(tmp_path):
  path = tmp_path / "x.mp4"
  clips.write_video(path, 40)
  clips.flip(path, path.read_bytes().index(b"mdat") + 30, 40)
  media_files.fails("bad_video", frames.read_video, path, 10, 16)


@pytest.mark.parametrize("content", [b"", b"no video" * 99])
def test_what_is_no_video_is_bad(tmp_path, content):
  path = tmp_path / "x.mp4"
  path.write_bytes(content)
  media_files.fails("bad_video", frames.read_video, path, 4, 16)


def test_audio_alone_is_no_video(tmp_path):
  path = tmp_path / "x.wav"
  clips.write_audio(path, clips.tone(1))
  reason = media_files.fails("bad_video", frames.read_video, path, 4, 16)
  assert "no video stream" in reason


_QUARTERS = [20, 90, 160, 230]  # left above, right above, left below, right


@pytest.fixture(scope="module")
def quarters(tmp_path_factory):
  """An MP4 of four greys, one in each corner."""
  path = tmp_path_factory.mktemp("quarters") / "x.mp4"
  image = np.kron(np.reshape(_QUARTERS, (2, 2)), np.ones((32, 48)))
  image = np.repeat(image[..., None], 3, axis=2).astype(np.uint8)
  with av.open(str(path), "w") as container:
    media_files.mux(
      container, media_files.film_packets(container, "mpeg4", [image] * 12)
    )
  return path


@pytest.mark.parametrize("a", [1, -1])
@pytest.mark.parametrize("d", [1, -1])
@pytest.mark.parametrize("is_quarter", [False, True])
def test_frames_stand_as_players_show_them(
  quarters, tmp_path, a, d, is_quarter
):
  matrix = [[0, a], [d, 0]] if is_quarter else [[a, 0], [0, d]]
  path = tmp_path / "x.mp4"
  path.write_bytes(quarters.read_bytes())
  media_files.turn(path, matrix)
  image = frames.read_video(path, 3, 64).frames[0]
  for level, x, y in zip(
    _QUARTERS, [-1, 1, -1, 1], [-1, -1, 1, 1], strict=True
  ):
    right = x * matrix[0][0] + y * matrix[1][0]
    down = x * matrix[0][1] + y * matrix[1][1]
    found = image[32 + 16 * down, 32 + 16 * right]
    np.testing.assert_allclose(found, level, atol=4)
  if a * d == (-1 if is_quarter else 1):  # no mirror
    with av.open(str(path)) as container:
      frame = next(container.decode(video=0))
    turned = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
    shown = np.asarray(Image.fromarray(turned).resize((64, 64)))
    np.testing.assert_allclose(image, shown, atol=40)
    np.testing.assert_allclose(image[8:24, 8:24], shown[8:24, 8:24], atol=2)


def test_a_cover_is_no_video(tmp_path):
  path = tmp_path / "x.mp4"
  with av.open(str(path), "w") as container:
    cover = [np.full((200, 300, 3), 255, np.uint8)]
    first = media_files.film_packets(container, "mjpeg", cover)
    second = media_files.film_packets(container, "mpeg4", media_files.greys(30))
    media_files.mux(container, first, second)
  video = frames.read_video(path, 5, 16)
  assert video.decodable == 30
  assert video.frames[0].mean() < 40


def test_a_sound_with_a_cover_has_no_video(tmp_path):
  path = tmp_path / "x.mp3"
  with av.open(str(path), "w") as container:
    wave = media_files.chirp(2, 44_100)
    sound = media_files.sound_packets(container, "libmp3lame", wave, 44_100)
    cover = [np.full((64, 64, 3), 255, np.uint8)]
    picture = media_files.film_packets(container, "mjpeg", cover)
    container.streams.video[0].disposition = av.stream.Disposition.attached_pic
    media_files.mux(container, picture, sound)
  reason = media_files.fails("bad_video", frames.read_video, path, 4, 16)
  assert "no video stream" in reason


def test_the_default_film_is_seen(tmp_path):
  path = tmp_path / "x.mkv"
  with av.open(str(path), "w") as container:
    white = [np.full((64, 64, 3), 255, np.uint8)] * 30
    first = media_files.film_packets(container, "mpeg4", white)
    second = media_files.film_packets(container, "mpeg4", media_files.greys(30))
    container.streams.video[1].disposition = av.stream.Disposition.default
    media_files.mux(container, first, second)
  assert frames.read_video(path, 5, 16).frames[0].mean() < 40


def test_a_codec_that_nobody_knows_is_bad(tmp_path):
  path = media_files.write(tmp_path / "x.avi", audio=None)
  path.write_bytes(path.read_bytes().replace(b"FMP4", b"zzzz"))
  reason = media_files.fails("bad_video", frames.read_video, path, 4, 16)
  assert "no decoder" in reason


def test_seconds_are_those_of_the_timestamps(tmp_path):
  path = tmp_path / "x.mkv"
  with av.open(str(path), "w") as container:
    film = media_files.film_packets(container, "mjpeg", media_files.greys(40))
    film = media_files.without(film, 1.0, 3.0)
    media_files.mux(container, media_files.later(film, 2.0))
  video = frames.read_video(path, 20, 16)
  assert video.decodable == 20
  expected = [*np.arange(10) / 10, *np.arange(30, 40) / 10]
  np.testing.assert_allclose(video.seconds, expected, atol=0.002)


def test_a_picture_size_of_a_header_is_not_allocated(tmp_path):
  path = tmp_path / "x.avi"
  media_files.write(path, audio=None, video="mjpeg")
  data = path.read_bytes()
  sizes = (32).to_bytes(2) * 2
  assert sizes in data
  path.write_bytes(data.replace(sizes, (16_000).to_bytes(2) * 2))
  media_files.fails("bad_video", frames.read_video, path, 4, 16)


@pytest.mark.skipif(
  not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux counts it"
)
@pytest.mark.parametrize("codec", ["msmpeg4", "flv"])
def test_opening_does_not_allocate_what_a_header_says(tmp_path, codec):
  """To open a file decodes some of it, before anything can be asked of it."""
  path = tmp_path / "x.avi"
  media_files.write(path, audio=None, video=codec)
  data, size = path.read_bytes(), struct.pack("<ii", 32, 32)
  assert size in data
  path.write_bytes(data.replace(size, struct.pack("<ii", 29_216, 8_780)))
  pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
  before = _megabytes("VmHWM")
  with streams.opened(path) as container:
    assert container.streams.video
  assert _megabytes("VmHWM") < before + 50


def _megabytes(name):
  """A figure of this process, as the kernel tells it."""
  status = pathlib.Path("/proc/self/status").read_text()
  return int(re.search(rf"{name}:\s*(\d+) kB", status)[1]) / 1024
