import librosa
import numpy as np
import pytest

from crab_jax.data.media import waveform


def _noise(count):
  return np.random.default_rng(count).normal(0, 0.2, count).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("count", [1, 777, 44_100, 123_457])
def test_blocks_give_what_librosa_gives_for_the_whole(rate, count):
  whole = _noise(count)
  wave = waveform.Waveform()
  for start in range(0, count, 4321):
    wave.add(whole[start : start + 4321], rate)
  expected = librosa.resample(
    whole, orig_sr=rate, target_sr=16_000, res_type="soxr_hq"
  )
  np.testing.assert_array_equal(wave.finish(), expected)


def test_the_target_rate_is_untouched():
  wave = waveform.Waveform()
  wave.add(_noise(100), 16_000)
  wave.add(_noise(50), 16_000)
  np.testing.assert_array_equal(
    wave.finish(), np.concatenate([_noise(100), _noise(50)])
  )


def test_a_change_of_rate_ends_one_part_and_begins_another():
  wave = waveform.Waveform()
  for rate in (44_100, 16_000, 8000, 44_100):
    wave.silence(rate, rate)
  assert wave.finish().shape == (4 * 16_000,)


@pytest.mark.parametrize("rate", [0, 1, 10**9, -8000])
def test_what_is_no_rate_of_sound_is_refused(rate):
  with pytest.raises(ValueError, match="no rate of sound"):
    waveform.Waveform().add(_noise(10), rate)


def test_nothing_and_what_is_not_finite_are_refused():
  with pytest.raises(ValueError, match="empty"):
    waveform.Waveform().finish()
  with pytest.raises(ValueError, match="not finite"):
    waveform.Waveform().add(np.full(3, np.inf, np.float32), 16_000)
