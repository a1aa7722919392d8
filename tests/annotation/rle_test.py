"""Masks as run lengths."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from crab_jax.annotation import rle
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.data import tasks
from tests.annotation import sources


def _compressed(counts):
  """The text of lengths, written from its description in `rle`."""
  found = []
  for index, count in enumerate(counts):
    value = count - (counts[index - 2] if index > 2 else 0)
    more = True
    while more:
      code = value & 31
      value >>= 5
      more = value != (-1 if code & 16 else 0)
      found.append(chr(48 + code + 32 * more))
  return "".join(found)


def _runs(mask):
  flat = mask.T.ravel()
  edges = np.flatnonzero(np.diff(flat)) + 1
  lengths = np.diff([0, *edges, len(flat)]).tolist()
  return [0, *lengths] if flat[0] else lengths


def _text(mask, compressed):
  runs = _runs(mask)
  counts = _compressed(runs) if compressed else runs
  return json.dumps({"size": list(mask.shape), "counts": counts})


def _box(high, wide, top, bottom, left, right):
  mask = np.zeros((high, wide), bool)
  mask[top:bottom, left:right] = True
  return mask


def test_what_cocos_own_code_writes():
  """Of pycocotools 2.0: lengths that grow and shrink, and long ones."""
  mask = _box(6, 9, 1, 4, 2, 7)
  mask[5, 0] = True
  text = '{"size": [6, 9], "counts": "5172L0000000;"}'
  np.testing.assert_array_equal(rle.decode(text), mask)
  text = '{"size": [300, 400], "counts": "lUV1f4f4000000000lW]2"}'
  mask = _box(300, 400, 100, 250, 130, 136)
  np.testing.assert_array_equal(rle.decode(text), mask)


@pytest.mark.parametrize("compressed", [False, True])
def test_any_mask_comes_back(compressed):
  rng = np.random.default_rng(0)
  for _ in range(200):
    high, wide = rng.integers(1, 40, 2)
    mask = rng.random((high, wide)) < rng.random()
    found = rle.decode(_text(mask, compressed))
    np.testing.assert_array_equal(found, mask)
    assert np.array_equal(Image.open(io.BytesIO(rle.png(mask))), 255 * mask)


@pytest.mark.parametrize(
  ("value", "reason"),
  [
    ("{", "no JSON"),
    ([[1, 2, 3, 4]], "should be"),  # a polygon
    ({"counts": [4]}, "should be"),
    ({"size": [2, 2], "counts": [3]}, "runs have 3 pixels, 2 x 2 are 4"),
    ({"size": [2, 2], "counts": [5, -1]}, "hold -1"),
    ({"size": [2, 2], "counts": [True, 3]}, "hold True"),
    ({"size": [2, 2], "counts": [2.0, 2.0]}, "hold 2.0"),
    ({"size": [2, 2], "counts": [[4]]}, "which is no length"),
    ({"size": [2, 2], "counts": 4}, "list of lengths, or text"),
    ({"size": [2], "counts": [2]}, "its size"),
    ({"size": [0, 2], "counts": []}, "its size"),
    ({"size": [1 << 20, 1 << 20], "counts": [1 << 40]}, "its size"),
    ({"size": [2, 2], "counts": [1 << 60]}, "no length"),
    ({"size": [2, 2], "counts": "4 "}, "hold ' '"),
    ({"size": [2, 2], "counts": "P"}, "middle of a number"),
    ({"size": [2, 2], "counts": "P" * 20 + "0"}, "without end"),
    ({"size": [2, 2], "counts": "O"}, "hold -1"),
    ({"size": [2, 2], "counts": "é"}, "hold 'é'"),
  ],
)
def test_what_is_none_is_refused(value, reason):
  text = value if isinstance(value, str) else json.dumps(value)
  with pytest.raises(ValueError, match=reason):
    rle.decode(text)


def test_no_text_raises_anything_else():
  rng = np.random.default_rng(1)
  good = _text(_box(12, 9, 2, 7, 3, 8), compressed=True)
  for _ in range(2000):
    letters = list(good)
    for place in rng.integers(0, len(good), 3):
      letters[place] = chr(rng.integers(32, 127))
    with contextlib.suppress(ValueError):
      assert rle.decode("".join(letters)).dtype == bool


@pytest.fixture(scope="module")
def media(tmp_path_factory):
  """Pictures of 64 x 48, and m.png, which is white in a part."""
  folder = tmp_path_factory.mktemp("media")
  sources.write_media(folder, 3)
  (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
  return folder


def _annotate(media, out, rows):
  lines = [(f"line {i}", row) for i, row in enumerate(rows)]
  found, faults = schema.parse(lines, tasks.Tasks())
  assert not faults
  settings = settings_lib.Settings(allow_overlap=True)
  inputs = run.Inputs(found, faults, media, out, tasks.Tasks(), settings)
  return run.annotate(inputs, lambda text: None)


_MASK = _box(48, 64, 10, 30, 20, 50)  # that of m.png


@pytest.mark.parametrize("task", ["s4", "ref_avs"])
def test_run_lengths_build_what_the_picture_of_them_builds(
  media, tmp_path, task
):
  """The answer and the file of the mask, of training and of test rows."""
  built = []
  for name, cell in (
    ("png", "m.png"),
    ("text", _text(_MASK, True)),
    ("object", json.loads(_text(_MASK, False))),
  ):
    rows = [
      sources.row(task, i, mask=cell, split=split, id=f"row{i}")
      for i, split in enumerate(("train", "test"))
    ]
    summary = _annotate(media, tmp_path / name, rows)
    assert summary["unbuilt"] == []
    folder = tmp_path / name / task
    found = json.loads((folder / "train.json").read_text())
    key = "output" if task == "ref_avs" else "label_content"
    masks = [
      np.asarray(Image.open(path)) > 0
      for kind in ("labels_rgb", "gt_mask")
      for path in sorted(folder.rglob(f"{kind}/**/*.png"))
    ]
    assert len(masks) == 2
    built.append((found[0][key], [mask.tolist() for mask in masks]))
  assert built[0] == built[1] == built[2]


def test_masks_that_are_none_have_one_status(media, tmp_path):
  rows = [
    sources.row("s4", i % 3, mask=cell, id=f"row{i}", split="train")
    for i, cell in enumerate([
      _text(_MASK.T, False),  # width and height mixed up
      '{"size": [48, 64], "counts": [1]}',
      '{"size": [48',
      [[10, 10, 40, 10, 40, 40]],
      "broken.png",
      _text(_MASK[::2, ::2], True),  # half the size fits
    ])
  ]  # fmt: skip
  summary = _annotate(media, tmp_path, rows)
  assert [(u["status"], u["rows"]) for u in summary["unbuilt"]] == [
    ("bad_mask", 5)
  ]
  assert summary["tasks"]["s4"] == {"train": 1}
  reasons = (tmp_path / run.STATE / "unbuilt.jsonl").read_text()
  assert "[64, 48] (height, width) is not of the shape" in reasons
