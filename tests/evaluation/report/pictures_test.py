"""Pictures and sound of a record."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.report import pictures
from crab_jax.evaluation.scoring import masks


def _frame(colour, size=224):
  buffer = io.BytesIO()
  Image.new("RGB", (size, size), colour).save(buffer, "PNG")
  return buffer.getvalue()


def _reds(sheet, size):
  """The red of every frame of a sheet, row by row."""
  step = size + 4
  return [
    [sheet.getpixel((x, y))[0] for x in range(9, sheet.width, step)]
    for y in range(9, sheet.height, step)
  ]


def test_contact_sheet_takes_frames_evenly():
  frames = [_frame((25 * i, 0, 0)) for i in range(10)]
  one = pictures.contact_sheet(frames, clips=1, size=20)
  assert _reds(one, 20) == [[0, 50, 100], [125, 175, 225]]
  two = pictures.contact_sheet(frames, clips=2, size=20)
  assert _reds(two, 20) == [[0, 50, 100], [125, 175, 225]]
  four = pictures.contact_sheet(frames[:4], size=20)
  assert _reds(four, 20) == [[0, 25], [50, 75]]
  assert pictures.contact_sheet(frames[:1], size=20).width == 20


def test_place_draws_truth_and_answer():
  truth = masks.filled_box((100, 100, 119, 119))
  drawn = pictures.grounding(
    _frame("black"), truth, None, (10, 10, 49, 49), [(80, 80)]
  )
  colours = {drawn.getpixel((x, x)) for x in range(drawn.width)}
  assert pictures.SAID in colours and pictures.TRUE in colours
  assert drawn.getpixel((165, 165)) == (0, 0, 0)  # only the rim is drawn
  assert drawn.getpixel((151, 165)) == pictures.TRUE
  point = drawn.getpixel((int(80.5 * 1.5), int(80.5 * 1.5)))
  assert point == pictures.SAID


def test_an_answered_mask_is_tinted_and_outlined():
  said = masks.filled_box((100, 100, 139, 139))
  drawn = pictures.grounding(_frame("black"), said=said)
  assert drawn.getpixel((151, 180)) == pictures.SAID
  inside, outside = drawn.getpixel((180, 180)), drawn.getpixel((100, 100))
  assert outside == (0, 0, 0)
  tint = [pictures._TINT * x / 100 for x in pictures.SAID]
  assert np.abs(np.subtract(inside, tint)).max() <= 3


def test_an_answer_on_the_truth_leaves_both_in_sight():
  box = (50, 50, 99, 99)
  drawn = pictures.grounding(_frame("black"), None, box, box)
  line = {drawn.getpixel((x, 110)) for x in range(60, 90)}
  assert {pictures.SAID, pictures.TRUE} <= line


def test_mp3_keeps_the_length():
  sound = np.sin(np.arange(16000) / 8).astype(np.float32) / 3
  buffer = io.BytesIO()
  soundfile.write(buffer, sound, 16000, format="FLAC", subtype="PCM_16")
  small = pictures.mp3(buffer.getvalue())
  back, rate = soundfile.read(io.BytesIO(small))
  assert rate == 16000
  assert len(back) == pytest.approx(16000, abs=2400)
  assert len(small) < len(buffer.getvalue())


def test_a_jpeg_keeps_the_colour_of_a_thin_line():
  drawn = pictures.grounding(_frame("green"), None, None, (50, 50, 99, 99))
  kept = Image.open(io.BytesIO(pictures.jpeg(drawn)))
  for x in (75, 76, 77):  # across the answered line
    assert drawn.getpixel((x, 110)) == pictures.SAID
    gap = np.subtract(kept.getpixel((x, 110)), pictures.SAID)
    assert abs(gap).max() < 20


def test_jpeg_and_true_mask():
  data = pictures.jpeg(pictures.image(_frame("white")))
  assert Image.open(io.BytesIO(data)).format == "JPEG"
  record = type("Record", (), {"mask": b""})
  assert pictures.true_mask(record) is None
  record.mask = _frame("white")
  assert pictures.true_mask(record).all()


def test_a_timeline_has_a_bar_where_an_event_is():
  frame = _frame("black")
  events = [
    intervals.Event("drum", 2.0, 5.0),
    intervals.Event("bell", 0.0, 99.0),
  ]
  drawn = np.asarray(pictures.timeline([frame] * 10, events, 10.0, size=40))
  bars = (abs(drawn.astype(int) - pictures.SAID).max(-1) < 5)[40:]
  bell, drum = (bars[24 * line + 4] for line in (0, 1))
  assert bell.all()
  assert [drum[:80].any(), drum[80:201].all(), drum[201:].any()] == [0, 1, 0]
