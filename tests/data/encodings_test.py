import io

import hypothesis
import numpy as np
import PIL.Image
import pytest
import soundfile
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from crab_jax.data import encodings
from tests.data import clips


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(arrays.arrays(np.int16, strategies.integers(1, 500)))
def test_int16_audio_survives(samples):
  audio = samples.astype(np.float32) / 32768
  found = encodings.decode_audio(encodings.encode_audio(audio))
  np.testing.assert_array_equal(found, audio)


def test_loud_audio_is_clipped_not_wrapped():
  audio = np.array([1.5, 1.0, -1.0, -2.0], np.float32)
  found = encodings.decode_audio(encodings.encode_audio(audio))
  np.testing.assert_allclose(found, [1, 1, -1, -1], atol=1 / 32768)


def test_audio_is_flac_mono_16_khz(tmp_path):
  path = tmp_path / "x.flac"
  path.write_bytes(encodings.encode_audio(np.zeros(100, np.float32)))
  info = soundfile.info(str(path))
  assert (info.format, info.subtype) == ("FLAC", "PCM_16")
  assert (info.samplerate, info.channels) == (16_000, 1)


def test_png_is_lossless_and_jpeg_close():
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (7, 7, 3)).astype(np.uint8)
  image = coarse.repeat(8, axis=0).repeat(8, axis=1)
  png = encodings.encode_image(image, "png", 95)
  assert png.startswith(b"\x89PNG")
  np.testing.assert_array_equal(clips.pixels(png), image)
  jpeg = encodings.encode_image(image, "jpeg", 95)
  assert jpeg.startswith(b"\xff\xd8")
  error = clips.pixels(jpeg).astype(int) - image
  assert np.abs(error).max() <= 6  # blocks are flat: only rounding is lost


def test_the_quality_of_a_jpeg_counts():
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
  image = noise.astype(np.uint8)
  sizes = [
    len(encodings.encode_image(image, "jpeg", quality)) for quality in (50, 95)
  ]
  assert sizes[1] > 2 * sizes[0]


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(arrays.arrays(bool, (9, 13)))
def test_masks_survive(mask):
  data = encodings.encode_mask(mask)
  np.testing.assert_array_equal(clips.pixels(data) > 0, mask)


def _tone(samples=16000) -> np.ndarray:
  times = np.arange(samples) / 16000
  return (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def _flac(wave, rate=16000) -> bytes:
  file = io.BytesIO()
  soundfile.write(file, wave, rate, format="FLAC", subtype="PCM_16")
  return file.getvalue()


def _image(pixels, kind="PNG") -> bytes:
  file = io.BytesIO()
  PIL.Image.fromarray(pixels).save(file, kind)
  return file.getvalue()


def test_audio_bytes():
  wave = _tone(3210)
  data = _flac(wave)
  assert encodings.audio_samples(data) == 3210
  np.testing.assert_allclose(encodings.decode_audio(data), wave, atol=1e-4)


@pytest.mark.parametrize(
  "data",
  [b"", b"noise", _flac(_tone())[:-900], _flac(_tone(), 8000)],
  ids=["empty", "no audio", "cut short", "other rate"],
)
def test_bad_audio_is_a_value_error(data):
  with pytest.raises(ValueError, match="audio"):
    encodings.decode_audio(data)


def test_grey_images_become_rgb():
  pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
  got = encodings.decode_frame(_image(pixels), 8)
  np.testing.assert_array_equal(got, np.stack([pixels] * 3, axis=-1))
