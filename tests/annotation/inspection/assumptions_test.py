"""Each assumption on rows where it holds, fails, and cannot be told."""

import numpy as np
import pytest

from crab_jax.annotation.inspection import assumptions
from crab_jax.annotation.inspection import findings
from crab_jax.data import tasks
from tests.data import clips

_TABLE = tasks.Tasks()
_MEDIA = {"video_path": "v.mp4", "audio_path": "a.mp3"}
_SOUND = {"audio_path": "a.wav"}
_PICTURE = {"image_path": "AVS/v1m/c/frames/2.jpg", **_SOUND}
_SEEN = {"visual_path": "AVS/v1m/c/frames/2.jpg", **_SOUND}
_SMALL = {"image_path": "small/frames/2.jpg", **_SOUND}
_SMALL_SEEN = {"visual_path": "small/frames/2.jpg", **_SOUND}
_MATCH = {"audio_path": "a.mp3", "video1_path": "1.mp4", "video2_path": "2.mp4"}


def _train(base, **values):
  return {"train": [{**base, **values}]}


def _test(base, **values):
  return {"test": [{**base, **values}]}


_BOX = "The drum is at [10,20,90,200], points [20,30]."
_WIDE = "The drum is at [10,20,300,200], points [20,30]."
_EVENT = "A bell is heard. <event>Bell, (1 5)</event>."
_CHOICE = {"question_text": "What?", "answer": "dog", "label": "So it is dog."}
_ANSWER = "A clip. <answer>2</answer>."

# assumption -> (task, rows that hold, that fail, that tell nothing)
_CASES = {
  "rows have the keys that are read": (
    "ks", _train(_MEDIA, label="x"), _train(_SOUND, label="x"), {"train": []},
  ),
  "indices begin at 0": (
    "ms3",
    {"train": [{**_PICTURE, "frame_idx": i} for i in (0, 4)]},
    {"train": [{**_PICTURE, "frame_idx": i} for i in (1, 5)]},
    {"train": [{**_PICTURE, "frame_idx": i} for i in (1, 4)]},
  ),
  "the index is the number of the picture": (
    "ms3", _train(_PICTURE, frame_idx=2), _train(_PICTURE, frame_idx=3),
    _train({"image_path": "c/frames/last.jpg"}, frame_idx=3),
  ),
  "boxes of targets are on the 224 grid": (
    "s4", _train(_PICTURE, label_content=_BOX),
    _train(_PICTURE, label_content=_WIDE), _train(_SMALL, label_content=_BOX),
  ),
  "corners are on the 224 grid": (
    "arig", _test(_SEEN, top_left=[1, 2], bottom_right=[200, 223]),
    _test(_SEEN, top_left=[1, 2], bottom_right=[310, 223]),
    _test(_SMALL_SEEN, top_left=[1, 2], bottom_right=[200, 223]),
  ),
  "targets can be read": (
    "ave", _train(_MEDIA, label_content=_EVENT),
    _train(_MEDIA, label_content="A bell rings."), _test(_MEDIA, event="Bell"),
  ),
  "targets have the exact form": (
    "ave", _train(_MEDIA, label_content=_EVENT),
    _train(_MEDIA, label_content="<event>Bell (1s - 5s)</event>"),
    _test(_MEDIA, event="Bell"),
  ),
  "references can be compared": (
    "ave", _test(_MEDIA, event="Bell", start_time=1, end_time=5),
    _test(_MEDIA, event="Bell", start_time=5, end_time=1),
    _test(_MEDIA, event="Bell"),
  ),
  "correct_video is 1 or 2, as the target says": (
    "a2v", _train(_MATCH, correct_video=2, label=_ANSWER),
    _train(_MATCH, correct_video=1, label=_ANSWER),
    _test(_MATCH, correct_video=1),
  ),
  "options are a list, the answer a text of it": (
    "avqa_thu", _train(_MEDIA, multi_choice=["cat", "dog"], **_CHOICE),
    _train(_MEDIA, multi_choice="cat, dog", **_CHOICE),
    _train(_MEDIA, multi_choice=["cat", "dog"], label="So it is dog."),
  ),
  "labels are in the scorers' table": (
    "meld", _test(_MEDIA, Emotion="Anger"), _test(_MEDIA, Emotion="grumpy"),
    _test(_MEDIA),
  ),
}  # fmt: skip
# Further rows that fail.
_FAILING = [
  ("indices begin at 0", "ref_avs", _test(_SEEN, frame_idx=10)),
  ("indices begin at 0", "ref_avs", _train(_PICTURE, idx=-1)),
  ("correct_video is 1 or 2, as the target says", "a2v",
   _test(_MATCH, correct_video=0)),
  ("options are a list, the answer a text of it", "avqa_thu",
   _train(_MEDIA, multi_choice=["cat", "dog"], **{**_CHOICE, "answer": 1})),
  # Whether targets of avqa have tags was not to be seen.
  ("targets can be read", "avqa",
   _train(_MEDIA, question="How many?", label="There are two drums, so two.")),
  ("targets have the exact form", "avqa",
   _train(_MEDIA, question="How many?", label="The answer is two.")),
  ("targets have the exact form", "avvp",
   _train(_MEDIA, label_content="<visual>Dog at 1 to 5</visual>")),
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  """A picture that is larger than the grid, and one that is not."""
  folder = tmp_path_factory.mktemp("source")
  for name in ("s4", "arig"):
    for path, size in ((_PICTURE, (240, 320)), (_SMALL, (100, 120))):
      picture = folder / name / path["image_path"]
      picture.parent.mkdir(parents=True)
      clips.write_image(picture, np.zeros((*size, 3), np.uint8))
  return folder


def _verdict(name, task, splits, source):
  (found,) = [
    one
    for one in assumptions.test(_TABLE[task], splits, source)
    if one.name == name
  ]
  return found


@pytest.mark.parametrize("name", _CASES)
def test_it_holds_fails_and_cannot_be_told(name, source):
  task, *rows = _CASES[name]
  verdicts = (findings.HOLDS, findings.FAILS, findings.UNKNOWN)
  for splits, verdict in zip(rows, verdicts, strict=True):
    found = _verdict(name, task, splits, source)
    assert found.verdict == verdict, (verdict, found)
    assert bool(found.examples) == (verdict == findings.FAILS)


@pytest.mark.parametrize(("name", "task", "splits"), _FAILING)
def test_other_rows_that_fail(name, task, splits, source):
  found = _verdict(name, task, splits, source)
  assert found.verdict == findings.FAILS
  assert found.examples[0].startswith(f"{task}/")


def test_every_assumption_is_among_the_cases(source):
  every = {
    found.name
    for task in _TABLE.values()
    for found in assumptions.test(task, {"train": [], "test": []}, source)
  }
  by_time = {
    "events end within their clips", "clips last 10 s, or as their ids say",
    "events lie in 0 to 10 s", "end_time is exclusive",
  }  # fmt: skip
  v2a = "correct_audio is 1 or 2, as the target says"
  assert every == {*_CASES, *by_time, v2a}
