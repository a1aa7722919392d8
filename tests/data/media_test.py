import pathlib

import av
import librosa
import numpy as np
import pytest
import soundfile
import torch

from crab_jax.data import media
from crab_jax.data import statuses
from tests.data import clips

_REAL = (
  pathlib.Path(__file__).resolve().parents[2] / "../shared/real_clips/AVUIE_2"
)


def _fails(status, read, *args):
  with pytest.raises(statuses.RecordError) as caught:
    read(*args)
  assert caught.value.status == status
  return caught.value.reason


@pytest.mark.parametrize("wanted", [1, 2, 3, 4, 5, 7, 10, 15])
def test_frame_indices_are_those_of_torch(wanted):
  for decodable in [*range(wanted, 400), 1800, 54_321]:
    expected = torch.linspace(0, decodable - 1, wanted).round().long()
    found = media.frame_indices(decodable, wanted)
    np.testing.assert_array_equal(found, expected.numpy(), str(decodable))


def test_ties_go_to_the_even_frame():
  # 0, 2.5, 5 and 0, 3.5, 7
  assert media.frame_indices(6, 3).tolist() == [0, 2, 5]
  assert media.frame_indices(8, 3).tolist() == [0, 4, 7]


def test_frames_are_those_at_the_indices(tmp_path):
  path = tmp_path / "-x.mp4"
  clips.write_video(path, 40, fps=4)
  video = media.read_video(path, 10, 32)
  assert video.decodable == 40
  indices = media.frame_indices(40, 10)
  for frame, index in zip(video.frames, indices, strict=True):
    assert frame.shape == (32, 32, 3)
    np.testing.assert_allclose(frame, clips.level(int(index)), atol=2.4)
  np.testing.assert_allclose(video.seconds, indices / 4)
  assert video.duration == pytest.approx(10.0)


def test_a_short_video_repeats_its_last_frame(tmp_path):
  path = tmp_path / "x.mp4"
  clips.write_video(path, 3)
  video = media.read_video(path, 10, 16)
  assert video.decodable == 3
  levels = [frame.mean() for frame in video.frames]
  expected = [clips.level(min(index, 2)) for index in range(10)]
  np.testing.assert_allclose(levels, expected, atol=2.4)
  assert video.seconds[2:] == [0.5] * 8


def test_the_frames_of_an_avi_are_counted(tmp_path):
  path = tmp_path / "x.avi"
  clips.write_video(path, 25, fps=25)
  video = media.read_video(path, 4, 16)
  assert video.decodable == 25
  np.testing.assert_allclose(video.seconds, [0, 0.32, 0.64, 0.96], atol=0.05)


def test_a_wrong_count_of_the_container_is_mended(tmp_path, monkeypatch):
  path = tmp_path / "x.mp4"
  clips.write_video(path, 20)
  expected = media.read_video(path, 4, 16)
  monkeypatch.setattr(media, "_count_packets", lambda path: 23)
  found = media.read_video(path, 4, 16)
  assert found.decodable == 20
  np.testing.assert_array_equal(found.frames, expected.frames)


def test_a_truncated_video_is_bad(tmp_path):
  path = tmp_path / "x.mp4"
  clips.write_video(path, 40)
  clips.cut_short(path, 0.7)
  reason = _fails("bad_video", media.read_video, path, 4, 16)
  assert "x.mp4" in reason


def test_a_damaged_video_is_bad(tmp_path):
  path = tmp_path / "x.mp4"
  clips.write_video(path, 40)
  clips.flip(path, path.read_bytes().index(b"mdat") + 30, 40)
  _fails("bad_video", media.read_video, path, 10, 16)


@pytest.mark.parametrize("content", [b"", b"no video" * 99])
def test_what_is_no_video_is_bad(tmp_path, content):
  path = tmp_path / "x.mp4"
  path.write_bytes(content)
  _fails("bad_video", media.read_video, path, 4, 16)


def test_audio_alone_is_no_video(tmp_path):
  path = tmp_path / "x.wav"
  clips.write_audio(path, clips.tone(1))
  reason = _fails("bad_video", media.read_video, path, 4, 16)
  assert "no video stream" in reason


def test_missing_files_are_missing(tmp_path):
  path = tmp_path / "nothing"
  _fails("missing_file", media.read_video, path, 4, 16)
  _fails("missing_file", media.read_image, path, 16)
  _fails("missing_file", media.read_mask, path)
  _fails("missing_file", media.read_audio, path)
  _fails("missing_file", media.read_audio, tmp_path)  # a folder


def test_the_resize_is_bicubic_with_antialias(tmp_path):
  path = tmp_path / "x.png"
  coarse = np.random.default_rng(0).integers(0, 256, (30, 41, 3))
  pixels = coarse.astype(np.uint8).repeat(9, axis=0).repeat(9, axis=1)
  clips.write_image(path, pixels)
  expected = torch.nn.functional.interpolate(
    torch.from_numpy(pixels).permute(2, 0, 1)[None],
    (224, 224),
    mode="bicubic",
    antialias=True,
  )[0].permute(1, 2, 0)
  found = media.read_image(path, 224)
  # Both work in fixed point; a few pixels round the other way.
  np.testing.assert_allclose(found, expected.numpy(), atol=1)


def test_transparent_images_are_pasted_on_white(tmp_path):
  path = tmp_path / "x.png"
  pixels = np.zeros((8, 8, 4), np.uint8)
  pixels[:4] = (200, 0, 0, 255)
  clips.write_image(path, pixels)
  found = media.read_image(path, 8)
  assert (found[:4] == (200, 0, 0)).all()
  assert (found[4:] == 255).all()


def test_grey_images_become_rgb(tmp_path):
  path = tmp_path / "x.png"
  clips.write_image(path, np.full((8, 8), 77, np.uint8))
  assert (media.read_image(path, 4) == np.full((4, 4, 3), 77)).all()


def test_a_truncated_image_is_bad(tmp_path):
  path = tmp_path / "x.jpg"
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
  clips.write_image(path, noise.astype(np.uint8))
  clips.cut_short(path)
  _fails("bad_image", media.read_image, path, 32)
  _fails("bad_image", media.read_mask, path)


def test_a_mask_is_what_is_not_black(tmp_path):
  path = tmp_path / "x.png"
  labels = np.zeros((448, 448, 3), np.uint8)
  labels[:112, :224] = (0, 0, 128)  # grey level 15
  clips.write_image(path, labels)
  mask = media.read_mask(path)
  assert mask.shape == (224, 224)
  assert mask[:56, :112].all()
  assert mask.sum() == 56 * 112


def test_audio_is_read_as_librosa_does(tmp_path):
  path = tmp_path / "x.wav"
  left, right = clips.tone(1.3, 440, 44_100), clips.tone(1.3, 300, 44_100)
  clips.write_audio(path, np.stack([left, right], axis=1), 44_100)
  expected, _ = librosa.load(path, sr=16_000)
  found = media.read_audio(path)
  np.testing.assert_array_equal(found, expected)
  assert found.dtype == np.float32


def test_audio_at_16_khz_is_untouched(tmp_path):
  path = tmp_path / "x.wav"
  samples = np.arange(-500, 500, dtype=np.int16)
  clips.write_audio(path, samples)
  np.testing.assert_array_equal(media.read_audio(path) * 32768, samples)


def _write_aac(path, seconds):
  with av.open(str(path), "w", format="mp4") as container:
    stream = container.add_stream("aac", rate=16_000, layout="mono")
    tone = clips.tone(seconds, 300)[None]
    frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
    frame.sample_rate = 16_000
    for packet in (*stream.encode(frame), *stream.encode()):
      container.mux(packet)


def test_audio_that_libsndfile_cannot_read_goes_through_ffmpeg(tmp_path):
  path = tmp_path / "x.m4a"
  _write_aac(path, 2.0)
  found = media.read_audio(path)
  assert len(found) == pytest.approx(32_000, abs=2048)  # frames of 1024
  spectrum = np.abs(np.fft.rfft(found))
  assert np.argmax(spectrum) * 16_000 / len(found) == pytest.approx(300, abs=2)


def test_a_truncated_wav_is_bad(tmp_path):
  path = tmp_path / "x.wav"
  clips.write_audio(path, clips.tone(1))
  clips.cut_short(path)
  reason = _fails("bad_audio", media.read_audio, path)
  assert "truncated: 15978 of 32000 bytes" in reason


def test_a_streamed_wav_of_unknown_size_is_read(tmp_path):
  path = tmp_path / "x.wav"
  clips.write_audio(path, clips.tone(1))
  data = path.read_bytes()
  place = data.index(b"data") + 4
  path.write_bytes(data[:place] + b"\xff" * 4 + data[place + 4 :])
  assert len(media.read_audio(path)) == 16_000


@pytest.mark.parametrize("name", ["x.wav", "x.mp3", "x.m4a"])
@pytest.mark.parametrize("size", [0, 7, 5000])
def test_what_is_no_audio_is_bad(tmp_path, name, size):
  path = tmp_path / name
  path.write_bytes(np.random.default_rng(size).bytes(size))
  _fails("bad_audio", media.read_audio, path)


def test_empty_and_not_finite_audio_is_bad(tmp_path):
  path = tmp_path / "x.wav"
  clips.write_audio(path, np.zeros(0, np.float32))
  _fails("bad_audio", media.read_audio, path)
  path = tmp_path / "x.caf"
  soundfile.write(path, np.full(100, np.nan), 16_000, subtype="FLOAT")
  _fails("bad_audio", media.read_audio, path)


@pytest.mark.skipif(not _REAL.is_dir(), reason="no real clips beside the repo")
def test_a_real_clip_decodes():
  name = "-67UNKFmRLk"
  video = media.read_video(_REAL / f"ave/video/{name}.mp4", 10, 224)
  assert (video.decodable, len(video.frames)) == (250, 10)
  assert np.std(video.frames[5]) > 10
  audio = media.read_audio(_REAL / f"ave/audio/{name}.mp3")
  assert len(audio) / 16_000 == pytest.approx(10, abs=0.05)
