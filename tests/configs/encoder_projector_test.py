"""Units of CLIP and BEATs: how many, how long, what they become."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax import configs

_AUDIO = configs.BeatsAudio()


def test_units_of_the_released_sizes():
  vision = configs.ClipVision()
  assert (vision.unit_frames, vision.unit_positions) == (1, 257)
  assert (vision.unit_tokens, vision.token_grid) == (32, None)
  assert (_AUDIO.unit_positions, _AUDIO.unit_tokens) == (96, 32)
  lengths = np.array([0, 15, 16, 98, 192])
  np.testing.assert_array_equal(_AUDIO.positions_of(lengths), [0, 0, 8, 48, 96])
  np.testing.assert_array_equal(_AUDIO.tokens_of(lengths), [0, 0, 32, 32, 32])


def test_a_pooled_unit_has_a_token_a_patch_and_one_a_frame():
  vision = configs.ClipVision(projector="pooled", unit_frames=10)
  assert (vision.unit_positions, vision.unit_tokens) == (2570, 266)
  assert not vision.drops and configs.ClipVision().drops
  with pytest.raises(ValueError, match="unit_frames=10 must be 1"):
    configs.ClipVision(unit_frames=10)


def test_a_unit_of_the_connector_is_two_frames():
  vision = configs.ClipVision(projector="stc", unit_frames=2)
  assert (vision.unit_positions, vision.unit_tokens) == (514, 64)
  assert (vision.units_of(1), vision.units_of(5)) == (1, 3)
  assert not vision.drops
  assert vision.named()["ClipVision.stage_blocks"] == 4
  assert "ClipVision.stage_blocks" not in configs.ClipVision().named()
  # A grid of 27 by 27: the last row and column are left out.
  odd = configs.ClipVision(projector="stc", unit_frames=2, frame_size=378)
  assert (odd.patches, odd.unit_tokens) == (729, 169)
  with pytest.raises(ValueError, match="unit_frames=1 must be 2"):
    configs.ClipVision(projector="stc")


@pytest.mark.parametrize(
  ("seconds", "pieces", "lengths"),
  [
    (20, 10, [192] * 10),  # two sixtieths of a minute, ten times
    (10, 10, [98] * 10),
    (10, 5, [192] * 5),
    (4, 4, [98] * 4),
    (0.75, 1, [73]),
    (0.1, 1, [16]),  # silence fills a patch
    (42, 10, [138] * 30),  # 4.2 s, longer than a unit: divided evenly
    (0, 10, []),
  ],
)
def test_each_piece_is_a_unit(seconds, pieces, lengths):
  assert _AUDIO.unit_lengths(int(16_000 * seconds), pieces) == lengths


def test_seconds():
  audio = configs.BeatsAudio(segments="seconds")
  assert audio.unit_samples(40_000, 10) == [16_000, 16_000, 8_000]
  assert audio.unit_lengths(40_000, 10) == [98] * 3


@hypothesis.given(st.integers(0, 400_000), st.integers(1, 20))
def test_no_sample_is_lost_and_every_unit_fits(samples, pieces):
  sizes = _AUDIO.unit_samples(samples, pieces)
  assert sum(sizes) == samples
  assert max(sizes, default=0) <= _AUDIO.longest_unit
  lengths = _AUDIO.unit_lengths(samples, pieces)
  assert all(16 <= length <= 192 for length in lengths)
  # Of what does not fit no patch is complete.
  for size, length in zip(sizes, lengths, strict=True):
    assert length // 16 == max(1, (1 + (size - 400) // 160) // 16)


@pytest.mark.parametrize(
  ("kind", "fields", "named"),
  [
    (configs.ClipVision, {"frame_size": 225}, "ClipVision.frame_size=225"),
    (configs.ClipVision, {"projector": "mlp"}, "ClipVision.projector='mlp'"),
    (configs.ClipVision, {"stage_blocks": 0}, "ClipVision.stage_blocks=0"),
    (
      configs.ClipVision,
      {"projector": "stc", "unit_frames": 2, "frame_size": 14},
      "ClipVision.frame_size=14 must hold two patches",
    ),
    (configs.ClipVision, {"query_heads": 7}, "ClipVision.query_width=768"),
    (configs.BeatsAudio, {"bins": 120}, "BeatsAudio.bins=120"),
    (configs.BeatsAudio, {"max_distance": 80}, "BeatsAudio.max_distance=80"),
    (configs.BeatsAudio, {"segments": "all"}, "BeatsAudio.segments='all'"),
    (
      configs.BeatsAudio,
      {"segments": "seconds", "unit_frames": 64},
      "BeatsAudio.unit_frames=64 must hold a second",
    ),
    (configs.BeatsAudio, {"query_dropout": 1.0}, "BeatsAudio.query_dropout"),
  ],
)
def test_contradictions_are_named(kind, fields, named):
  with pytest.raises(ValueError, match=named):
    kind(**fields)
