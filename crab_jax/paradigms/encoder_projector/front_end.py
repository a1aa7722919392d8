"""The front end of BEATs: Kaldi's filter banks of segments, in numpy.

A clip is cut into segments (`BeatsAudio.unit_samples`); each becomes frames of
log filter-bank energies by itself, as if there were no other. Frames of images
need nothing but decoding: `qwen2_5_omni.front_end.frame_units` does it.

Reference: torchaudio.compliance.kaldi.fbank, as BEATs (arXiv 2212.09058) calls
it.
"""

import functools

import numpy as np
import scipy.fft

from crab_jax import configs
from crab_jax.array_types import Float
from crab_jax.array_types import Int

WINDOW = 400  # samples of a frame (25 ms)
HOP = 160  # samples from one frame to the next (10 ms)
_FFT = 512
_SCALE = 2.0**15  # Kaldi reads 16-bit integers
_PREEMPHASIS = 0.97
_LOWEST = 20.0  # Hz, where the first filter begins
_FLOOR = 1.1920928955078125e-07  # of the energies
# Of BEATs' training data; the released code divides by twice the deviation.
_MEAN, _DEVIATION = 15.41663, 6.55582


def _mel(hertz: Float[np.ndarray, "*_"] | float) -> np.ndarray:
  return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)


@functools.cache
def filters(bins: int) -> Float[np.ndarray, "frequencies M"]:
  """float64[257, M]: triangles in the mel domain from 20 Hz to 8 kHz.

  Narrow ones at the bottom may hold no frequency of the transform: their column
  is zero, and their energy always the floor.
  """
  top = configs.SAMPLE_RATE / 2
  edges = np.linspace(_mel(_LOWEST), _mel(top), bins + 2)
  left, centre, right = edges[:-2], edges[1:-1], edges[2:]
  mel = _mel(np.linspace(0.0, top, _FFT // 2 + 1))[:, None]
  rising = (mel - left) / (centre - left)
  falling = (right - mel) / (right - centre)
  weights = np.maximum(0.0, np.minimum(rising, falling))
  weights[-1] = 0.0  # Kaldi leaves the Nyquist frequency out
  return weights


@functools.cache
def _povey() -> Float[np.ndarray, "window"]:
  """Kaldi's window: symmetric, not periodic."""
  angle = 2 * np.pi * np.arange(WINDOW) / (WINDOW - 1)
  return (0.5 - 0.5 * np.cos(angle)) ** 0.85


def filter_bank(
  wave: Float[np.ndarray, "S"], bins: int
) -> Float[np.ndarray, "frames M"]:
  """Normalised log energies of a segment.

  Args:
    wave: float32[S], mono, 16 kHz, -1 to 1.
    bins: filters M.

  Returns:
    float32[1 + (S - 400) // 160, M]; no frame below 400 samples.
  """
  if len(wave) < WINDOW:
    return np.zeros((0, bins), np.float32)
  # float64: float32 noise near empty bins would become differences of 0.15
  # under the logarithm.
  scaled = wave.astype(np.float64) * _SCALE
  frames = np.lib.stride_tricks.sliding_window_view(scaled, WINDOW)[::HOP]
  frames = frames - frames.mean(axis=1, keepdims=True)
  before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
  frames = (frames - _PREEMPHASIS * before) * _povey()
  spectrum = scipy.fft.rfft(frames, _FFT, axis=1)
  energies = (spectrum.real**2 + spectrum.imag**2) @ filters(bins)
  logs = np.log(np.maximum(energies, _FLOOR))
  return ((logs - _MEAN) / (2 * _DEVIATION)).astype(np.float32)


def audio_units(
  wave: Float[np.ndarray, "S"], audio: configs.BeatsAudio, pieces: int = 1
) -> tuple[Float[np.ndarray, "units frames M"], Int[np.ndarray, "units"]]:
  """The segments of a clip.

  Args:
    wave: float32[S], mono, 16 kHz.
    audio: gives the filters, and how a clip is cut.
    pieces: equal parts, one after the other, that the clip is made of.

  Returns:
    float32[units, unit_frames, M], zeros behind the last frame, and
    int32[units], the valid frames of each.
  """
  sizes = audio.unit_samples(len(wave), pieces)
  lengths = np.array([audio.frames_of(size) for size in sizes], np.int32)
  units = np.zeros((len(sizes), audio.unit_frames, audio.bins), np.float32)
  start = 0
  for unit, size, length in zip(units, sizes, lengths, strict=True):
    # Silence behind a short segment, as far as the frames reach.
    needed = WINDOW + (int(length) - 1) * HOP
    segment = wave[start : start + size]
    segment = np.pad(segment, (0, max(0, needed - size)))
    unit[:length] = filter_bank(segment[:needed], audio.bins)
    start += size
  return units, lengths
