"""Sounds: registers, times and determinism."""

import itertools

import numpy as np
import pytest

from crab_jax.synthetic import attributes
from crab_jax.synthetic import scenes
from crab_jax.synthetic import sounds

# Where most of an instrument's power lies, Hz.
REGISTERS = {
  "drum": (40, 150),
  "horn": (110, 700),
  "guitar": (330, 1300),
  "flute": (980, 1250),
  "bell": (1850, 4500),
  "shaker": (4000, 8000),
}


def _solo(name, take=0, start=0, end=4, seconds=4):
  sound = scenes.Sound(name, start, end)
  return scenes.Scene(seconds, (), (sound,), seed=0, take=take)


def _spectrum(wave):
  return np.abs(np.fft.rfft(wave)) ** 2, np.fft.rfftfreq(wave.size, 1 / 16000)


@pytest.mark.parametrize("name", attributes.INSTRUMENTS)
@pytest.mark.parametrize("take", [0, 1, 2])
def test_instruments_sound_in_their_register(name, take):
  power, hertz = _spectrum(sounds.waveform(_solo(name, take)))
  low, high = REGISTERS[name]
  inside = power[(hertz >= low) & (hertz <= high)].sum()
  assert inside > 0.85 * power.sum()


@pytest.mark.parametrize("name", attributes.INSTRUMENTS)
def test_a_sound_keeps_to_its_seconds_and_fills_each(name):
  wave = sounds.waveform(_solo(name, start=2, end=5, seconds=7))
  assert wave.dtype == np.float32
  assert wave.shape == (7 * 16000,)
  assert 0.3 < np.abs(wave).max() < 1
  loud = np.abs(wave).reshape(7, 16000).max(1) > 0.1
  assert loud.tolist() == [s in (2, 3, 4) for s in range(7)]
  # The first third of a second is what the windows of avqa hear.
  assert np.abs(wave[2 * 16000 : 2 * 16000 + 4800]).max() > 0.1


def test_sounds_of_one_scene_add_up():
  both = (scenes.Sound("drum", 0, 4), scenes.Sound("bell", 0, 4))
  scene = scenes.Scene(4, (), both, seed=0, take=0)
  power, hertz = _spectrum(sounds.waveform(scene))
  shares = [
    power[(hertz >= low) & (hertz <= high)].sum() / power.sum()
    for low, high in (REGISTERS["drum"], REGISTERS["bell"])
  ]
  assert min(shares) > 0.1
  assert sum(shares) > 0.85


def test_the_take_decides_and_the_picture_does_not():
  wave = sounds.waveform(_solo("horn", take=4))
  same = scenes.Scene(4, (), _solo("horn").sounds, seed=9, take=4)
  assert (wave == sounds.waveform(same)).all()
  assert not (wave == sounds.waveform(_solo("horn", take=5))).all()


def _voice(voice, seed=0):
  face = scenes.Face(4, "smile", voice, "red", seed)
  return sounds.waveform(face)


def test_voices_have_their_signs():
  waves = {voice: _voice(voice) for voice in sounds.VOICES}
  noisy, loudness = {}, {}
  for voice, wave in waves.items():
    power, hertz = _spectrum(wave)
    noisy[voice] = power[hertz > 3000].sum() / power.sum()
    loudness[voice] = np.abs(wave).reshape(-1, 400).max(1)  # of 25 ms
  assert (
    noisy["harsh"]
    > 0.2
    > 0.02
    > max(noisy[voice] for voice in ("rising", "shaking", "level"))
  )
  silent = {voice: np.mean(loud < 0.05) for voice, loud in loudness.items()}
  assert silent["shaking"] > 0.3
  assert silent["level"] == 0
  seconds = waves["rising"].reshape(4, 16000)
  early, late = seconds[:, :4000], seconds[:, 9000:13000]
  assert _crossings(late) > 1.3 * _crossings(early)
  level = waves["level"].reshape(4, 16000)
  assert _crossings(level[:, 9000:13000]) < 1.1 * _crossings(level[:, :4000])


def _crossings(waves) -> int:
  return int((np.diff(np.signbit(waves), axis=-1)).sum())


def test_voices_differ_by_seed():
  for first, second in itertools.combinations(range(3), 2):
    assert not (_voice("level", first) == _voice("level", second)).all()
