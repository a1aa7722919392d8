"""Blocks of sound, one after another, as one waveform: mono, 16 kHz.

Nothing but the result is ever in memory as a whole: 20 minutes take 77 MB.
"""

import math

import numpy as np
import soxr
from jaxtyping import Float

from crab_jax import configs

# Rates that sound is recorded at; a damaged header may say any other.
_RATES = range(2000, 800_000)
_SILENCE = 65_536  # samples of a block of silence


class Waveform:
  """Takes blocks of mono sound at any rate, and gives them at 16 kHz.

  The values are those of librosa.load, bit for bit: soxr, high quality, gives
  the same for a whole and for its blocks.
  """

  def __init__(self):
    self._blocks: list[np.ndarray] = []
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
    if not any(map(len, self._blocks)):
      raise ValueError("it is empty")
    return np.concatenate(self._blocks)

  def _append(self, block: np.ndarray) -> None:
    self._blocks.append(block)
    self._given += len(block)

  def _begin_rate(self, rate: int) -> None:
    self._rate, self._stream, self._taken, self._given = rate, None, 0, 0
    if rate != configs.SAMPLE_RATE:
      self._stream = soxr.ResampleStream(
        rate, configs.SAMPLE_RATE, 1, dtype="float32", quality="HQ"
      )

  def _end_rate(self) -> None:
    if self._stream is None:
      return
    self._append(self._stream.resample_chunk(np.zeros(0, np.float32), True))
    # As librosa does: exactly the samples that the length asks for.
    ratio = configs.SAMPLE_RATE / self._rate
    excess = self._given - math.ceil(self._taken * ratio)
    if excess < 0:
      self._append(np.zeros(-excess, np.float32))
    while excess > 0:
      last = self._blocks.pop()
      if len(last) > excess:
        self._blocks.append(last[: len(last) - excess])
      excess -= len(last)
    self._stream = None
