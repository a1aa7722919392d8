"""Log-mel, chunks, frames and patches: the released front end's numbers."""

import io

import hypothesis
import numpy as np
import PIL.Image
import pytest
from hypothesis import strategies as st

from crab_jax import configs
from crab_jax.paradigms.qwen2_5_omni import front_end
from tests.paradigms.qwen2_5_omni import patch_rows

_AUDIO = configs.AudioTower()
_TINY = configs.tiny()


def _tone(samples=16000) -> np.ndarray:
  times = np.arange(samples) / 16000
  return (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def _image(pixels, kind="PNG") -> bytes:
  file = io.BytesIO()
  PIL.Image.fromarray(pixels).save(file, kind)
  return file.getvalue()


def test_filters():
  filters = front_end.mel_filters(128)
  assert filters.shape == (201, 128)
  for mel, peak, where in [
    (0, 0.012374, 1),
    (1, 0.030393, 1),
    (127, 0.005042, 195),
  ]:
    assert filters[:, mel].argmax() == where
    assert filters[:, mel].max() == pytest.approx(peak, abs=1e-6)
  assert filters.sum() == pytest.approx(3.19099, abs=1e-4)


def test_log_mel_of_a_tone():
  mel = front_end.log_mel(_tone(), 128)
  assert mel.shape == (100, 128) and mel.dtype == np.float32
  assert mel.min() == pytest.approx(-0.5146, abs=1e-4)
  assert mel.max() == pytest.approx(1.4854, abs=1e-4)
  assert mel.mean() == pytest.approx(-0.4253, abs=1e-4)
  np.testing.assert_allclose(
    mel[50, 16:21], [1.3445, 1.3375, 1.4854, 1.2752, 1.2874], atol=1e-4
  )
  np.testing.assert_allclose(
    mel[0, :4], [0.9075, 1.0051, 0.9864, 0.9520], atol=1e-4
  )
  np.testing.assert_allclose(mel[50, [0, 60, 127]], mel.min(), atol=1e-6)


def test_silence_is_a_constant():
  mel = front_end.log_mel(np.zeros(3200, np.float32), 128)
  np.testing.assert_allclose(mel, -1.5, atol=1e-6)  # float32


@pytest.mark.parametrize("samples", [80, 201, 1600, 16001, 31999, 40000])
def test_log_mel_equals_the_padded_form(samples):
  """Against the definition: pad with zeros, transform all, keep some."""
  wave = np.random.default_rng(samples).normal(size=samples) * 0.1
  wave[-40:] *= 30  # a frame behind those that are kept decides the maximum
  padded = np.pad(wave, (0, 60_000 - samples))
  padded = np.pad(padded, 200, mode="reflect")
  window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
  frames = np.stack([padded[s : s + 400] for s in range(0, 59_841, 160)])
  power = np.abs(np.fft.rfft(frames * window)) ** 2
  expected = np.log10(np.maximum(power @ front_end.mel_filters(128), 1e-10))
  expected = (np.maximum(expected, expected.max() - 8) + 4) / 4
  got = front_end.log_mel(wave.astype(np.float32), 128)
  assert len(got) == configs.AudioTower().mel_frames(samples)
  np.testing.assert_allclose(got, expected[: len(got)], atol=2e-5)


def test_lengths():
  counts = {16000: 100, 16001: 101, 31999: 200, 1: 1, 0: 0}
  for samples, frames in counts.items():
    assert configs.AudioTower().mel_frames(samples) == frames
  assert configs.AudioTower().mel_frames(5_000_000) == 30_000


def _tokens(frames: int, tower: configs.AudioTower) -> int:
  return sum(map(tower.tokens_of, tower.unit_lengths(160 * frames)))


def test_token_counts():
  # fmt: off
  table = {
    12: 3, 100: 25, 101: 25, 102: 25, 103: 26, 199: 50, 200: 50, 201: 50,
    203: 51, 400: 100, 500: 125, 999: 250, 1000: 250, 2000: 500, 30000: 7500,
    0: 0, 1: 0, 2: 0, 3: 1,
  }
  # fmt: on
  for frames, tokens in table.items():
    assert _tokens(frames, _AUDIO) == tokens, frames


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(st.integers(1, 70_000))
def test_chunks_hold_the_mel(samples):
  tower = _TINY.audio
  wave = _tone(samples)
  mel = front_end.log_mel(wave, tower.bins)
  chunks, lengths = front_end.mel_chunks(wave, tower)
  assert chunks.shape == (len(lengths), 200, tower.bins)
  assert chunks.dtype == np.float32 and lengths.dtype == np.int32
  valid = np.arange(200) < lengths[:, None]
  used = int(lengths.sum())
  np.testing.assert_array_equal(chunks[valid], mel[:used])
  assert not chunks[~valid].any()
  # What is left out is too short for a token.
  assert _tokens(len(mel) - used, tower) == 0
  assert tower.tokens_of(lengths).sum() == _tokens(len(mel), tower)


def _vision(size: int) -> configs.VisionTower:
  return configs.VisionTower(frame_size=size, patch=size // 2, window=size)


def test_frames_become_pairs():
  frames = [np.full((56, 56, 3), shade, np.uint8) for shade in (10, 20, 30)]
  pairs = front_end.frame_units([_image(f) for f in frames], _vision(56))
  assert pairs.shape == (2, 2, 56, 56, 3) and pairs.dtype == np.uint8
  np.testing.assert_array_equal(pairs[:, :, 0, 0, 0], [[10, 20], [30, 30]])


def test_an_image_is_paired_with_itself_and_resized():
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
  pairs = front_end.frame_units([_image(pixels)], _vision(28))
  expected = PIL.Image.fromarray(pixels).resize((28, 28), PIL.Image.BICUBIC)
  np.testing.assert_array_equal(pairs[0, 0], np.asarray(expected))
  np.testing.assert_array_equal(pairs[0, 0], pairs[0, 1])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_bad_frames_are_value_errors(kind):
  rng = np.random.default_rng(0)
  data = _image(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), kind)
  for bad in (b"", b"noise", data[: len(data) // 2]):
    with pytest.raises(ValueError, match="image"):
      front_end.frame_units([data, bad], _vision(64))
  with pytest.raises(ValueError, match="no frame"):
    front_end.frame_units([], _vision(64))


def test_black_pixels_are_normalised():
  tower = configs.VisionTower()
  rows = patch_rows.patch_rows(np.zeros((1, 2, 224, 224, 3), np.uint8), tower)
  assert rows.shape == (256, 1176) and rows.dtype == np.float32
  # Channel-major columns: 2 * 14 * 14 of each.
  np.testing.assert_allclose(
    rows[0, [0, 391, 392, 784, 1175]],
    [-1.7923, -1.7923, -1.7521, -1.4802, -1.4802],
    atol=1e-4,
  )


def test_patch_order():
  """Each patch is painted with its (row, column): read them back."""
  tower = configs.VisionTower()
  grid = np.indices((16, 16)).repeat(14, 1).repeat(14, 2)
  frame = np.stack([grid[0], grid[1], np.zeros((224, 224))], axis=-1)
  pairs = np.stack([frame, frame + 16])[None].astype(np.uint8)
  rows = patch_rows.patch_rows(pairs, tower)
  rows = rows.reshape(256, 3, 2, 14, 14)
  mean = np.array(patch_rows.PIXEL_MEAN)[:, None]
  std = np.array(patch_rows.PIXEL_STD)[:, None]
  values = np.rint((rows[..., 0, 0] * std + mean) * 255)
  # fmt: off
  expected = [
    (0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3),
    (0, 4), (0, 5), (1, 4), (1, 5),
  ]
  # fmt: on
  np.testing.assert_array_equal(values[:12, :2, 0], expected)
  np.testing.assert_array_equal(values[-1, :2, 0], (15, 15))
  np.testing.assert_array_equal(values[:, :, 1], values[:, :, 0] + 16)


def test_patches_of_several_pairs_and_pixels():
  """A pixel's place: channel, frame of the pair, row, column in a patch."""
  tower = _TINY.vision
  rng = np.random.default_rng(0)
  pairs = rng.integers(0, 255, (2, 2, 112, 112, 3), dtype=np.uint8)
  rows = patch_rows.patch_rows(pairs, tower).reshape(2, 16, 3, 2, 28, 28)
  # Row 7 is the patch (1, 3): block (0, 1), inside it (1, 1).
  pixel = pairs[1, 1, 28 + 5, 84 + 6, 2] / 255
  expected = (pixel - patch_rows.PIXEL_MEAN[2]) / patch_rows.PIXEL_STD[2]
  assert rows[1, 7, 2, 1, 5, 6] == pytest.approx(expected, abs=1e-5)
