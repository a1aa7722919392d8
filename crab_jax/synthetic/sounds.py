"""From a scene to samples: six timbres and four voices.

Every instrument has a register and a spectral shape of its own:

  drum     struck, below 150 Hz        horn    blown, 140 Hz and harmonics
  guitar   plucked, 380 Hz, decaying   flute   almost pure, 1.1 kHz
  bell     inharmonic, above 1.9 kHz   shaker  noise above 4 kHz

Pitch, loudness and rhythm vary from clip to clip. Sounds begin and end on
whole seconds, at full loudness.
"""

import numpy as np

from crab_jax import configs
from crab_jax.synthetic import scenes

_RATE = configs.SAMPLE_RATE
_PEAK = 0.8  # of a clip
_NOISE = 0.002  # of the silence
_FADE = int(0.02 * _RATE)  # samples


def _time(samples: int) -> np.ndarray:
  """float64[samples], seconds."""
  return np.arange(samples) / _RATE


def _sine(cycles: np.ndarray) -> np.ndarray:
  """float32: the sine of a phase in cycles (float32 sines are ten times
  faster, the phase is reduced first to keep it exact)."""
  return np.sin((2 * np.pi * (cycles - np.floor(cycles))).astype(np.float32))


def _noise(rng: np.random.Generator, samples: int) -> np.ndarray:
  return rng.standard_normal(samples, dtype=np.float32)


def _repeat(note: np.ndarray, every: float, length: int, rng) -> np.ndarray:
  """The note again and again with small differences of loudness."""
  out = np.zeros(length + note.size, np.float32)
  for start in range(0, length, int(every * _RATE)):
    out[start : start + note.size] += rng.uniform(0.75, 1.0) * note
  return out[:length]


def _drum(length, rng):
  t = _time(int(0.28 * _RATE))
  pitch = rng.uniform(75, 100)
  note = _sine(pitch * t * (1 - 0.5 * t)) * np.exp(-9 * t)
  note[:80] += 0.3 * _noise(rng, 80)
  return _repeat(note, rng.uniform(0.2, 0.25), length, rng)


def _horn(length, rng):
  t = _time(length)
  pitch = rng.uniform(130, 155)
  saw = sum(_sine(pitch * k * t) / k for k in range(1, 9))
  return (0.85 + 0.15 * _sine(3 * t)) * saw


def _guitar(length, rng):
  t = _time(int(0.5 * _RATE))
  pitch = rng.uniform(350, 420)
  note = sum(
    _sine(pitch * k * t) * np.exp(-(3 + 2 * k) * t) / k for k in range(1, 6)
  )
  return _repeat(note, rng.uniform(0.3, 0.36), length, rng)


def _flute(length, rng):
  t = _time(length)
  cycles = rng.uniform(1020, 1180) * t + 0.24 * _sine(5 * t)
  return _sine(cycles) + 0.15 * _sine(2 * cycles)


def _bell(length, rng):
  t = _time(int(0.6 * _RATE))
  pitch = rng.uniform(1900, 2150)
  note = np.zeros(t.size)
  for ratio, decay in ((1.0, 4.0), (1.51, 6.0), (1.98, 8.0)):
    note += _sine(pitch * ratio * t) * np.exp(-decay * t)
  return _repeat(note, rng.uniform(0.4, 0.5), length, rng)


def _shaker(length, rng):
  t = _time(int(0.16 * _RATE))
  # Three differences are a high-pass filter: little is left below 4 kHz.
  note = np.diff(_noise(rng, t.size + 3), n=3) * np.exp(-14 * t)
  return _repeat(note, rng.uniform(0.16, 0.2), length, rng)


_TIMBRES = {
  "drum": _drum,
  "horn": _horn,
  "guitar": _guitar,
  "flute": _flute,
  "bell": _bell,
  "shaker": _shaker,
}


def _voiced(pitch: np.ndarray) -> np.ndarray:
  """A vowel with this pitch, Hz at each sample."""
  cycles = np.cumsum(pitch) / _RATE
  loudness = (1.0, 0.8, 0.9, 0.6, 0.3, 0.2)
  found = np.zeros(cycles.size)
  for harmonic, share in enumerate(loudness, 1):
    found += share * _sine(harmonic * cycles)
  return found


def _rising(t, pitch, rng):
  return _voiced(pitch * (1 + 1.2 * (t % 1.0))) * ((t % 1.0) < 0.9)


def _shaking(t, pitch, rng):
  beat = rng.uniform(3.5, 4.5) * t
  wave = _voiced(pitch * (1.5 + 0.12 * _sine(beat)))
  return wave * (beat % 1.0 < 0.5)


def _harsh(t, pitch, rng):
  return 0.8 * _voiced(np.full(t.size, 0.6 * pitch)) + _noise(rng, t.size)


def _level(t, pitch, rng):
  return _voiced(np.full(t.size, pitch))


VOICES = {
  "rising": _rising,
  "shaking": _shaking,
  "harsh": _harsh,
  "level": _level,
}


def _finish(mixed: np.ndarray, rng) -> np.ndarray:
  loudness = _PEAK * rng.uniform(0.6, 1.0) / max(np.abs(mixed).max(), 1e-3)
  noise = _NOISE * _noise(rng, mixed.size)
  return (loudness * mixed + noise).astype(np.float32)


def _faded(wave: np.ndarray) -> np.ndarray:
  """The wave with a short fade at its end; beginnings stay sharp."""
  wave[-_FADE:] *= np.linspace(1, 0, _FADE)
  return wave


def waveform(content: scenes.Scene | scenes.Face) -> np.ndarray:
  """float32[seconds * 16000] in [-1, 1]: what is heard."""
  if isinstance(content, scenes.Face):
    rng = np.random.default_rng([content.seed, 1])
    return _finish(_voice(content, rng), rng)
  rng = np.random.default_rng([content.take, 1])
  return _finish(_music(content, rng), rng)


def _music(scene: scenes.Scene, rng: np.random.Generator) -> np.ndarray:
  mixed = np.zeros(scene.seconds * _RATE, np.float32)
  for sound in scene.sounds:
    length = (sound.end - sound.start) * _RATE
    wave = _faded(_TIMBRES[sound.name](length, rng))
    start = sound.start * _RATE
    # Equal peaks, so that no instrument drowns another.
    mixed[start : start + length] += wave / np.abs(wave).max()
  return mixed


def _voice(face: scenes.Face, rng: np.random.Generator) -> np.ndarray:
  t = _time(face.seconds * _RATE)
  return VOICES[face.voice](t, rng.uniform(150, 210), rng)
