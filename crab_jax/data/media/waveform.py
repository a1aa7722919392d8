"""Blocks of sound, one after another, as one waveform: mono, 16 kHz.

Nothing but the result is ever in memory, once: 20 minutes take 77 MB.
"""

import math

import numpy as np
import soxr
from jaxtyping import Float

from crab_jax import configs

# Rates that sound is recorded at; a damaged header may say any other.
_RATES = range(2000, 800_000)
_SILENCE = 65_536  # samples of a block of silence
# Samples of a buffer. So large a one goes back to the system when it is freed,
# while the whole is put together.
_BUFFER = 1 << 20


class Waveform:
  """Takes blocks of mono sound at any rate, and gives them at 16 kHz.

  The values are those of librosa.load, bit for bit: soxr, high quality, gives
  the same for a whole and for its blocks.
  """

  def __init__(self):
    self._full: list[np.ndarray] = []  # buffers
    self._last = np.empty(_BUFFER, np.float32)
    self._filled = 0  # samples of the last buffer
    self._rate = configs.SAMPLE_RATE
    self._stream: soxr.ResampleStream | None = None
    self._taken = self._given = 0  # samples of the present rate: in and out

  def add(self, block: Float[np.ndarray, "S"], rate: int) -> None:
    """Appends float32[S] at `rate` Hz.

    Raises:
      ValueError: the rate is no rate of sound, or a value is not finite.
    """
    if rate not in _RATES:
      raise ValueError(f"{rate} Hz is no rate of sound")
    if not np.isfinite(block).all():
      raise ValueError("it is not finite")
    if rate != self._rate:
      self._end_rate()
      self._begin_rate(rate)
    self._taken += len(block)
    if self._stream is not None:
      block = self._stream.resample_chunk(block)
    self._append(block)

  def silence(self, samples: int, rate: int) -> None:
    """Appends so many zeros at `rate` Hz."""
    for start in range(0, samples, _SILENCE):
      zeros = np.zeros(min(_SILENCE, samples - start), np.float32)
      self.add(zeros, rate)

  def finish(self) -> Float[np.ndarray, "S"]:
    """All of it: float32[S], 16 kHz.

    Raises:
      ValueError: there is nothing.
    """
    self._end_rate()
    whole = np.empty(len(self._full) * _BUFFER + self._filled, np.float32)
    if not len(whole):
      raise ValueError("it is empty")
    last = self._last[: self._filled]
    whole[len(whole) - len(last) :] = last
    while self._full:
      start = (len(self._full) - 1) * _BUFFER
      # From the end: each buffer is free as soon as it is copied.
      whole[start : start + _BUFFER] = self._full.pop()
    return whole

  def _append(self, block: np.ndarray) -> None:
    self._given += len(block)
    while len(block):
      if self._filled == _BUFFER:
        self._full.append(self._last)
        self._last, self._filled = np.empty(_BUFFER, np.float32), 0
      piece = block[: _BUFFER - self._filled]
      self._last[self._filled : self._filled + len(piece)] = piece
      self._filled += len(piece)
      block = block[len(piece) :]

  def _drop(self, samples: int) -> None:
    """Takes samples away at the end."""
    while samples > self._filled:
      samples -= self._filled
      self._last, self._filled = self._full.pop(), _BUFFER
    self._filled -= samples

  def _begin_rate(self, rate: int) -> None:
    self._rate, self._stream, self._taken, self._given = rate, None, 0, 0
    if rate != configs.SAMPLE_RATE:
      self._stream = soxr.ResampleStream(
        rate, configs.SAMPLE_RATE, 1, dtype="float32", quality="HQ"
      )

  def _end_rate(self) -> None:
    if self._stream is None:
      return
    # True: the last chunk, with which soxr gives what it holds back.
    self._append(self._stream.resample_chunk(np.zeros(0, np.float32), True))
    # As librosa does: exactly the samples that the length asks for.
    ratio = configs.SAMPLE_RATE / self._rate
    excess = self._given - math.ceil(self._taken * ratio)
    self._append(np.zeros(max(0, -excess), np.float32))
    self._drop(max(0, excess))
    self._stream = None
