"""Assumptions about time, on rows where they hold, fail, and cannot be told."""

import pytest

from crab_jax.annotation.inspection import findings
from crab_jax.annotation.inspection import timing
from crab_jax.data import tasks
from tests.data import clips

_TABLE = tasks.Tasks()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  """Clips of ten and of four seconds, and one that does not open."""
  folder = tmp_path_factory.mktemp("source")
  for name in ("ave", "unav", "avvp", "avcap"):
    (folder / name / "video").mkdir(parents=True)
    for stem, frames in (("long", 40), ("short", 16)):
      path = folder / name / "video" / f"{stem}.mp4"
      clips.write_video(path, frames)
    (folder / name / "video" / "bad.mp4").write_bytes(b"no film")
  return folder


def _row(clip, said="", **values):
  events = {"label_content": f"<event>Dog, {said}</event>"} if said else {}
  return {"video_path": f"{clip}.mp4", **events, **values}


def _ave(start, end, **values):
  return {"event": "Dog", "start_time": start, "end_time": end, **values}


_WITHIN = "events end within their clips"
_LAST = "clips last 10 s, or as their ids say"
_TEN = "events lie in 0 to 10 s"
_ENDS = "end_time is exclusive"
_SAID = "<event>Dog, (2 {end})</event>"
_HOLD = [
  (_WITHIN, "unav", [_row("long", "(0 10)")]),
  (_WITHIN, "unav", [_row("short", "(0 4)(1 2)")]),
  (_WITHIN, "ave", [_row("long", **_ave(2, 10))]),
  (_WITHIN, "avvp", [_row("short", event="<audio>Dog, (0 4)</audio>")]),
  (_LAST, "unav", [_row("long")]),
  (_LAST, "avcap", [_row("long", video_id="xQ-2_30.000_40.000")]),
  (_LAST, "avcap", [_row("short", video_id="xQ-2_30_34.mp4")]),
  (_LAST, "unav", [*[_row("long")] * 19, _row("short")]),
  (_TEN, "ave", [_ave(0, 10), _ave(3, 4)]),
  (_ENDS, "ave", [_ave(0, 4), _ave(5, 10)]),
  (_ENDS, "ave", [_ave(0, 10), _ave(2, 5, label_content=_SAID.format(end=5))]),
]
_FAIL = [
  (_WITHIN, "unav", [_row("short", "(0 10)")]),
  (_WITHIN, "unav", [_row("long", "(0 4)"), _row("long", "(40 60)")]),
  (_WITHIN, "ave", [_row("short", **_ave(2, 10))]),
  (_WITHIN, "avvp", [_row("short", event="<audio>Dog, (0 9)</audio>")]),
  (_LAST, "unav", [_row("short")]),
  (_LAST, "avcap", [_row("long", video_id="xQ-2_30.000_34.000")]),
  (_LAST, "unav", [*[_row("long")] * 5, _row("short")]),
  (_TEN, "ave", [_ave(0, 12)]),
  (_TEN, "ave", [_ave(4, 4)]),
  (_ENDS, "ave", [_ave(0, 10), _ave(4, 4)]),
  (_ENDS, "ave", [_ave(2, 4, label_content=_SAID.format(end=5))]),
]
_UNKNOWN = [
  (_WITHIN, "unav", [_row("missing", "(0 10)")]),
  (_WITHIN, "unav", [_row("bad", "(0 10)")]),
  (_WITHIN, "unav", [_row("long")]),
  (_WITHIN, "ave", []),
  (_LAST, "unav", [_row("missing"), _row("bad")]),
  (_LAST, "avcap", []),
  (_TEN, "ave", [{"event": "Dog"}]),
  # Whether 9 is the end or the last second nobody can tell, nor where it begins.
  (_ENDS, "ave", [_ave(0, 4), _ave(5, 9)]),
  (_ENDS, "ave", [_ave(1, 4), _ave(5, 10)]),
  (_ENDS, "ave", []),
]


@pytest.mark.parametrize(
  ("case", "verdict"),
  [
    *((case, findings.HOLDS) for case in _HOLD),
    *((case, findings.FAILS) for case in _FAIL),
    *((case, findings.UNKNOWN) for case in _UNKNOWN),
  ],
)
def test_an_assumption(source, case, verdict):
  name, task, values = case
  rows = [(f"{task}/train/{i}", row) for i, row in enumerate(values)]
  (found,) = [
    one for one in timing.test(_TABLE[task], rows, source) if one.name == name
  ]
  assert found.verdict == verdict, found
  assert bool(found.examples) == (verdict == findings.FAILS)
