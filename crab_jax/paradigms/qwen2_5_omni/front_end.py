"""The front end of Qwen2.5-Omni: frame pairs and chunks of log-mel, in numpy.

Audio becomes a log-mel spectrogram of 100 frames a second, cut into chunks of
`AudioTower.unit_frames`. Images become uint8 frames in pairs; the device
normalises them and cuts them into patches.

Nothing here knows of text, positions or packing.

Reference: the Whisper front end, arXiv 2212.04356, as Qwen2.5-Omni uses it.
"""

import functools
from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.sparse

from crab_jax import configs
from crab_jax.array_types import Float
from crab_jax.array_types import Int
from crab_jax.array_types import UInt8
from crab_jax.data import encodings

WINDOW = 400  # samples a mel frame sees (25 ms)
HOP = 160  # samples from one mel frame to the next (10 ms)
MAX_SAMPLES = configs.HEARD_SAMPLES  # longer audio is cut
_FLOOR = 1e-10  # of the mel power
_RANGE = 8.0  # decades below the loudest bin that are kept


@functools.cache
def mel_filters(mel_bins: int) -> Float[np.ndarray, "bins M"]:
  """float32[201, M]: Slaney filters from 0 to 8 kHz over the spectrum."""
  # Whoever asks the table of families for something else needs no librosa.
  import librosa

  filters = librosa.filters.mel(
    sr=configs.SAMPLE_RATE, n_fft=WINDOW, n_mels=mel_bins, fmin=0.0
  )
  return np.ascontiguousarray(filters.T, np.float32)


@functools.cache
def _sparse_filters(mel_bins: int) -> scipy.sparse.csr_matrix:
  """The filters as [M, 201]: 394 of 25,728 entries are not zero."""
  return scipy.sparse.csr_matrix(mel_filters(mel_bins).T)


@functools.cache
def _hann() -> Float[np.ndarray, "window"]:
  angle = 2 * np.pi * np.arange(WINDOW) / WINDOW  # periodic
  return (0.5 - 0.5 * np.cos(angle)).astype(np.float32)


def _padded(wave: Float[np.ndarray, "S"], frames: int) -> np.ndarray:
  """Reflects half a window on the left, appends zeros on the right.

  What lies beyond 300 s is a reflection too: there the released front end has
  no zeros left to append.
  """
  half = WINDOW // 2
  size = max(HOP * (frames - 1) + WINDOW, 2 * half + 1)
  padded = np.zeros(size, np.float32)
  body = wave[: size - half]
  padded[half : half + len(body)] = body
  padded[:half] = padded[2 * half : half : -1]
  end = half + MAX_SAMPLES
  beyond = max(size - end, 0)
  padded[end:] = padded[end - 2 : end - 2 - beyond : -1]
  return padded


def log_mel(
  wave: Float[np.ndarray, "S"], mel_bins: int
) -> Float[np.ndarray, "frames M"]:
  """The log-mel spectrogram of a waveform.

  The released front end pads with zeros to 300 s and drops what it added;
  this computes only the frames that see a sample, with the same result.

  Args:
    wave: float32[S], mono, 16 kHz; cut at 300 s.
    mel_bins: filters M.

  Returns:
    float32[ceil(S / 160), M], base-10 logarithm of the power, scaled by
    (x + 4) / 4 and clipped eight decades below its loudest bin.
  """
  wave = wave[:MAX_SAMPLES]
  # Frames that see a sample: they decide the maximum, also those not kept;
  # but no released frame begins at 300 s.
  seen = (len(wave) + WINDOW // 2 - 1) // HOP + 1
  seen = min(seen, MAX_SAMPLES // HOP)
  padded = _padded(wave, seen)
  windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
  # scipy's transform keeps float32 and vectorises over the frames: ten times
  # numpy's speed here.
  spectrum = scipy.fft.rfft(windows[:seen] * _hann(), axis=-1)
  power = np.ascontiguousarray((spectrum.real**2 + spectrum.imag**2).T)
  # Sparse and in this thread: the threads of a dense product would spin on
  # the cores that other readers and the training step need.
  mel = _sparse_filters(mel_bins) @ power
  mel = np.log10(np.maximum(mel, _FLOOR))
  mel = np.maximum(mel, mel.max() - _RANGE)
  return ((mel + 4.0) / 4.0).T[: -(-len(wave) // HOP)]


def mel_chunks(
  wave: Float[np.ndarray, "S"], tower: configs.AudioTower, pieces: int = 1
) -> tuple[
  Float[np.ndarray, "chunks frames M"],
  Int[np.ndarray, "chunks"],
]:
  """The chunks of a clip.

  Args:
    wave: float32[S], mono, 16 kHz.
    tower: gives the filters and the size of a chunk.
    pieces: that the clip was made of; chunks do not depend on it.

  Returns:
    float32[chunks, unit_frames, M], zeros behind the last frame, and
    int32[chunks], the valid frames of each.
  """
  mel = log_mel(wave, tower.bins)
  lengths = np.array(tower.unit_lengths(len(wave), pieces), np.int32)
  chunks = np.zeros((len(lengths) * tower.unit_frames, tower.bins), np.float32)
  used = int(lengths.sum())
  chunks[:used] = mel[:used]
  shape = (len(lengths), tower.unit_frames, tower.bins)
  return chunks.reshape(shape), lengths


def frame_units(
  frames: Sequence[bytes], vision: configs.VisionUnits
) -> UInt8[np.ndarray, "units frames H W 3"]:
  """Units of a clip; a last one that is incomplete repeats its last frame.

  Raises:
    ValueError: there is no frame, or one does not decode.
  """
  if not frames:
    raise ValueError("the record has no frame")
  size, shape = vision.frame_size, (vision.units_of(len(frames)),)
  units = np.empty((*shape, vision.unit_frames, size, size, 3), np.uint8)
  flat = units.reshape(-1, size, size, 3)
  for index, data in enumerate(frames):
    flat[index] = encodings.decode_frame(data, size)
  flat[len(frames) :] = flat[len(frames) - 1]
  return units
