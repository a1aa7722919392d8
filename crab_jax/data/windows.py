"""How the audio of a clip is cut, and how two clips become one.

The official per-task loops reduce to these closed forms. `n` is a fraction of
the clip, not a second: a 20 s clip of `avqa` gives ten pieces of 0.67 s.

Waveforms are float32[S], mono, 16 kHz, and at least one second long: `cut`
appends zeros to shorter ones first.
"""

import numpy as np
from jaxtyping import Float

from crab_jax import configs

Waveform = Float[np.ndarray, "_"]  # lengths differ: in and out

_FOUR_SECONDS = 4 * configs.SAMPLE_RATE
# Of a part: codecs pad the sound of 10 s by up to 0.1 s, so edges move back.
_EDGE = 0.1
_PARTS = {"one_fifth": 5, "one_tenth": 10}  # equal ones, one of which is heard


def cut(rule: str, audio: Waveform, index: int = 0) -> Waveform:
  """The part of a clip that a task hears.

  Args:
    rule: `Task.window`: a key of `RULES`.
    audio: float32[S], 16 kHz, the whole clip.
    index: which fifth or tenth, for the rules that take one; a negative one
      counts as 0, one past the end gives silence.

  Returns:
    float32[S'], 16 kHz; S' depends on the rule and the clip's length.
  """
  missing = configs.SAMPLE_RATE - len(audio)
  if missing > 0:
    audio = np.pad(audio, (0, missing))
  return RULES[rule](audio, max(index, 0))


def index_at(rule: str, second: float, audio: Waveform) -> int:
  """The index of the part of a clip that belongs to a second.

  A second on the edge of two parts belongs to the later one, as the sets take
  frame i with part i.

  Args:
    rule: a key of `RULES`; 0 of one that takes no index.
    second: after the clip's first sample.
    audio: float32[S], 16 kHz, the whole clip.
  """
  if rule not in _PARTS:
    return 0
  parts = _PARTS[rule]
  seconds = max(len(audio) / configs.SAMPLE_RATE, 1.0)
  index = int(parts * second / seconds + _EDGE)
  return min(index, parts - 1) if second < seconds else index


def _sixtieths(audio: Waveform, index: int) -> Waveform:
  """Two sixtieths around every sixth one, ten times: 20 s of a minute."""
  del index
  n = len(audio) // 60
  # In samples of a sixtieth, rounded down, as the official loop does.
  starts = [int((6 * k - 0.5) * n) for k in range(10)]
  stops = [int((6 * k + 1.5) * n) for k in range(10)]
  pieces = [
    audio[max(start, 0) : stop]
    for start, stop in zip(starts, stops, strict=True)
  ]
  # The first window begins before the clip: zeros stand there.
  pieces[0] = np.pad(pieces[0], (2 * n - len(pieces[0]), 0))
  return np.concatenate(pieces)


def _tenths(audio: Waveform, index: int) -> Waveform:
  """The whole clip, down to a multiple of ten samples."""
  del index
  return audio[: 10 * (len(audio) // 10)]


def _fifths(audio: Waveform, index: int) -> Waveform:
  """The whole clip, down to a multiple of five samples."""
  del index
  return audio[: 5 * (len(audio) // 5)]


def _four_seconds(audio: Waveform, index: int) -> Waveform:
  """The first four seconds, zeros at the end."""
  del index
  audio = audio[:_FOUR_SECONDS]
  return np.pad(audio, (0, _FOUR_SECONDS - len(audio)))


def _one_part(audio: Waveform, parts: int, index: int) -> Waveform:
  """Part `index` of `parts` equal ones; silence past the last."""
  n = len(audio) // parts
  if index >= parts:
    return np.zeros(n, audio.dtype)
  return audio[index * n : (index + 1) * n]


def _one_fifth(audio: Waveform, index: int) -> Waveform:
  return _one_part(audio, _PARTS["one_fifth"], index)


def _one_tenth(audio: Waveform, index: int) -> Waveform:
  return _one_part(audio, _PARTS["one_tenth"], index)


RULES = {
  "sixtieths": _sixtieths,
  "tenths": _tenths,
  "fifths": _fifths,
  "four_seconds": _four_seconds,
  "one_fifth": _one_fifth,
  "one_tenth": _one_tenth,
}

# Rule -> seconds of a clip of the sets that use it.
CLIP_SECONDS = {
  "sixtieths": 60,
  "tenths": 10,
  "fifths": 5,
  "four_seconds": 4,
  "one_fifth": 5,
  "one_tenth": 10,
}

# Rule -> equal parts, one after the other, that its result is made of.
PIECES = {
  "sixtieths": 10,
  "tenths": 10,
  "fifths": 5,
  "four_seconds": 4,
  "one_fifth": 1,
  "one_tenth": 1,
}


def merge(pieces: list[Waveform]) -> Waveform:
  """Several windowed clips as one, end to end, with nothing between them."""
  return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
