"""Kaldi's filter banks: values that torchaudio gave, and cuts into segments."""

import numpy as np
import pytest
from transformers import audio_utils

from crab_jax import configs
from crab_jax.paradigms.encoder_projector import front_end

_AUDIO = configs.BeatsAudio()


def test_a_tone():
  """Values of torchaudio.compliance.kaldi.fbank, normalised as BEATs does."""
  time = np.arange(16_000) / 16_000
  wave = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
  found = front_end.filter_bank(wave, 128)
  assert found.shape == (98, 128) and found.dtype == np.float32
  # fmt: off
  expected = [0.3199, 0.6459, 0.6785, 0.7176, 0.6834, 0.5125, 0.3732, 0.2167,
              0.0249, -0.1670]
  # fmt: on
  np.testing.assert_allclose(found[50, 20:30], expected, atol=1e-4)
  first = [-0.4628, -0.6800, -0.4174, -2.3917]
  np.testing.assert_allclose(found[0, :4], first, atol=1e-4)
  np.testing.assert_allclose(found.max(), 0.7176, atol=1e-4)


def test_noise_against_another_implementation():
  wave = np.random.default_rng(0).standard_normal(16_480).astype(np.float32)
  filters = audio_utils.mel_filter_bank(
    num_frequency_bins=257,
    num_mel_filters=128,
    min_frequency=20,
    max_frequency=8000,
    sampling_rate=16_000,
    norm=None,
    mel_scale="kaldi",
    triangularize_in_mel_space=True,
  )
  expected = audio_utils.spectrogram(
    0.1 * wave.astype(np.float64) * 2**15,
    audio_utils.window_function(400, "povey", periodic=False),
    frame_length=400,
    hop_length=160,
    fft_length=512,
    power=2.0,
    center=False,
    preemphasis=0.97,
    mel_filters=filters,
    log_mel="log",
    mel_floor=1.192092955078125e-07,
    remove_dc_offset=True,
  ).T
  found = front_end.filter_bank(0.1 * wave, 128)
  expected = (expected - 15.41663) / (2 * 6.55582)
  assert found.shape == expected.shape and np.abs(expected).max() > 0.3
  np.testing.assert_allclose(found, expected, atol=5e-5)


def test_filters():
  """Frequencies of 31.25 Hz: the fourth filter lies between two of them."""
  filters = front_end.filters(128)
  assert filters.shape == (257, 128)
  np.testing.assert_allclose(filters.sum(), 252.610, atol=1e-3)
  assert list(np.flatnonzero(~filters.any(0))) == [3]
  np.testing.assert_allclose(filters[:, 0].max(), 0.80264, atol=1e-5)
  assert not filters[-1].any()


def test_silence_is_one_value():
  found = front_end.filter_bank(np.zeros(2000, np.float32), 128)
  np.testing.assert_allclose(found, -2.391693, atol=1e-5)


@pytest.mark.parametrize(
  ("samples", "frames"),
  [(399, 0), (400, 1), (16_000, 98), (16_048, 98), (16_080, 99), (32_000, 198)],
)
def test_frames(samples, frames):
  wave = np.zeros(samples, np.float32)
  assert front_end.filter_bank(wave, 16).shape == (frames, 16)


def test_a_segment_is_heard_alone():
  rng = np.random.default_rng(0)
  wave = (0.1 * rng.standard_normal(50_000)).astype(np.float32)
  units, lengths = front_end.audio_units(wave, _AUDIO, 5)
  assert units.shape == (5, 192, 128) and units.dtype == np.float32
  assert list(lengths) == [61] * 5 and lengths.dtype == np.int32
  for index, unit in enumerate(units):
    alone = front_end.filter_bank(wave[10_000 * index :][:10_000], 128)
    np.testing.assert_array_equal(unit[:61], alone)
    assert not unit[61:].any()


def test_a_short_segment_ends_in_silence():
  wave = np.full(1000, 0.3, np.float32) * np.array([1, -1] * 500, np.float32)
  units, lengths = front_end.audio_units(wave, _AUDIO)
  assert list(lengths) == [16]
  padded = np.pad(wave, (0, 1800))
  np.testing.assert_array_equal(
    units[0, :16], front_end.filter_bank(padded, 128)
  )
  np.testing.assert_allclose(units[0, 7:16], -2.391693, atol=1e-5)


def test_no_sound_is_no_unit():
  units, lengths = front_end.audio_units(np.zeros(0, np.float32), _AUDIO, 10)
  assert units.shape == (0, 192, 128) and not lengths.size
