"""The closed forms against loops that pick sample by sample."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from crab_jax.data import windows

_RATE = 16_000


def _ramp(length):
  """A waveform whose samples tell their place, from 1."""
  return np.arange(1, length + 1, dtype=np.float32)


def _padded(length):
  """Samples of `_ramp` as the official loader has them: a second at least."""
  return list(range(1, length + 1)) + [0] * max(0, _RATE - length)


def _oracle(rule, length, index):
  """The segments of the official loops, one after the other."""
  samples = _padded(length)
  if rule == "four_seconds":
    return (samples + [0] * 4 * _RATE)[: 4 * _RATE]
  parts = {"sixtieths": 60, "tenths": 10, "one_tenth": 10}.get(rule, 5)
  n = len(samples) // parts
  if rule in ("tenths", "fifths"):
    return sum((samples[i * n : (i + 1) * n] for i in range(parts)), [])
  if rule in ("one_fifth", "one_tenth"):
    start = max(index, 0)
    return samples[start * n : start * n + n] if start < parts else [0] * n
  out = []
  for second in range(0, 60, 6):
    segment = [
      samples[place]
      for place in range(int((second - 0.5) * n), int((second + 1.5) * n))
      if place >= 0
    ]
    out += [0] * (2 * n - len(segment)) + segment
  return out


@pytest.mark.parametrize("rule", windows.RULES)
@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(
  length=strategies.one_of(
    strategies.integers(1, 100_000), strategies.sampled_from([16_000, 160_007])
  ),
  index=strategies.integers(-2, 11),
)
def test_a_rule_equals_its_loop(rule, length, index):
  found = windows.cut(rule, _ramp(length), index)
  np.testing.assert_array_equal(found, _oracle(rule, length, index))
  assert found.dtype == np.float32


@pytest.mark.parametrize(
  ("rule", "clip", "seconds"),
  [
    ("sixtieths", 60, 20),
    ("tenths", 10, 10),
    ("four_seconds", 2, 4),
    ("fifths", 5, 5),
    ("one_fifth", 5, 1),
    ("one_tenth", 10, 1),
  ],
)
def test_nominal_lengths(rule, clip, seconds):
  assert len(windows.cut(rule, _ramp(clip * _RATE))) == seconds * _RATE


def test_every_rule_knows_its_pieces_and_its_usual_clip():
  assert windows.RULES.keys() == windows.PIECES.keys()
  assert windows.RULES.keys() == windows.CLIP_SECONDS.keys()


def test_a_minute_is_heard_around_every_sixth_second():
  found = windows.cut("sixtieths", _ramp(60 * _RATE))
  half = _RATE // 2
  assert not found[:half].any()
  assert found[half] == 1
  assert found[2 * _RATE] == int(5.5 * _RATE) + 1
  assert found[-1] == int(55.5 * _RATE)


def test_an_index_past_the_end_is_silence():
  assert not windows.cut("one_fifth", _ramp(80_000), 5).any()
  assert not windows.cut("one_tenth", _ramp(160_000), 10).any()
  assert windows.cut("one_fifth", _ramp(80_000), 4)[0] == 4 * _RATE + 1


def test_a_negative_index_counts_as_zero():
  assert windows.cut("one_tenth", _ramp(160_000), -3)[0] == 1


def test_merge_puts_clips_end_to_end():
  merged = windows.merge([_ramp(3), _ramp(2)])
  assert merged.tolist() == [1, 2, 3, 1, 2]


@hypothesis.given(
  rule=strategies.sampled_from(("one_fifth", "one_tenth")),
  length=strategies.integers(1, 20 * _RATE),
  share=strategies.floats(0, 0.999),
)
def test_the_part_at_a_second_holds_it(rule, length, share):
  wave = _ramp(length)
  sample = int(share * length)
  index = windows.index_at(rule, sample / _RATE, wave)
  heard = windows.cut(rule, wave, index)
  parts = 5 if rule == "one_fifth" else 10
  assert index < parts
  # Up to a tenth of a part, and the samples that no part has.
  slack = len(heard) / 10 + parts + 1
  assert heard[0] <= sample + 1 + slack
  assert sample + 1 <= heard[0] + len(heard) + slack or heard[-1] == 0


def test_a_frame_on_an_edge_belongs_to_the_part_behind_it():
  """Also where a codec has padded the sound."""
  for padded in (0, 120, 1600):
    wave = _ramp(10 * _RATE + padded)
    found = [windows.index_at("one_tenth", float(t), wave) for t in range(10)]
    assert found == list(range(10))
    assert windows.index_at("one_fifth", 5.0, wave) == 2
  assert windows.index_at("one_tenth", 12.0, _ramp(10 * _RATE)) == 12


def test_other_rules_take_no_index():
  assert windows.index_at("tenths", 7.0, _ramp(10 * _RATE)) == 0
  assert windows.index_at("four_seconds", 7.0, _ramp(10 * _RATE)) == 0
