"""Where a block of sound stands in time, and the silence before it."""

# Formats whose clock may start anew, as at a cut of a broadcast; FFmpeg's own
# tool goes on without a gap from this many seconds.
JUMPING = {"mpeg", "mpegts"}
_JUMP = 10.0
# Formats without a clock: FFmpeg counts frames, as if all had the first rate.
UNTIMED = {
  "aac", "ac3", "amr", "amrnb", "amrwb", "dts", "dtshd", "eac3", "loas", "mlp",
  "mp3", "truehd",
}  # fmt: skip
_JITTER = 0.05  # seconds that timestamps may be off: they are often rounded
# Silence of all holes: 77 MB. A damaged timestamp may ask for any amount.
_MOST_SILENCE = 1200.0


class Timeline:
  """Places blocks of sound one after another.

  Attributes:
    decoded: seconds of sound so far.
    early: seconds of it that lie before the origin.
    silence: seconds of silence so far.

  Args:
    origin: the time of second 0; None: that of the first block.
    jumps: whether the clock may start anew.
  """

  def __init__(self, origin: float | None, jumps: bool):
    self.decoded = self.early = self.silence = 0.0
    self._origin = origin
    self._jumps = jumps
    self._end: float | None = None  # of the last block, after the origin

  def place(
    self, time: float | None, samples: int, rate: int
  ) -> tuple[int, int]:
    """Places the next block.

    Args:
      time: of its first sample by the file's clock; None: behind the last.
      samples: how many it has.
      rate: Hz.

    Returns:
      Samples of silence to put before it, and of it to leave out.

    Raises:
      ValueError: the timestamps leave a hole that no memory can hold.
    """
    end = self._first(time) if self._end is None else self._end
    start = self._start(time, end)
    # What lies before the origin is left out, silence too.
    silence = round((max(0.0, start) - max(0.0, end)) * rate)
    skipped = min(samples, max(0, round(-start * rate)))
    self._end = start + samples / rate
    self.decoded += samples / rate
    self.early += skipped / rate
    self.silence += silence / rate
    if self.silence > _MOST_SILENCE:
      raise ValueError(f"its timestamps leave a hole of {start - end:.0f} s")
    return silence, skipped

  def _start(self, time: float | None, end: float) -> float:
    """When a block starts that follows one which ended at `end`.

    Moves the origin where the clock has started anew.
    """
    if time is None or self._origin is None:
      return end
    start = time - self._origin
    if start - end < -_JITTER or (self._jumps and start - end > _JUMP):
      self._origin = time - end  # nothing that was decoded is lost
      return end
    return start if start - end > _JITTER or not self.decoded else end

  def _first(self, time: float | None) -> float:
    """Where the first block follows on: the origin, or itself if earlier."""
    if self._origin is None:
      self._origin = time
    if self._origin is None or time is None:
      return 0.0
    return min(0.0, time - self._origin)
