"""`prepare --check`: what is missing, and what is not as assumed."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation.inspection import findings
from crab_jax.annotation.inspection import inspect_source
from crab_jax.annotation.inspection import inventory
from crab_jax.data import tasks
from tests.annotation import sources
from tests.data import clips

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_NAMES = ("a2v", "meld", "avqa_thu", "ave", "s4", "ms3", "arig", "ref_avs")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """A whole source, with pictures larger than the grid."""
  media = tmp_path_factory.mktemp("media")
  sources.write_media(media, 3)
  for i in range(3):
    picture = np.full((240, 320, 3), 20 * i, np.uint8)
    clips.write_image(media / f"p{i}.jpg", picture)
  rows = [
    {**sources.row(name, i), "split": split}
    for name in _NAMES
    for i, split in enumerate(("train", "test"))
  ]
  for row in rows:
    if "image" in row:
      row["image"] = row["image"].replace(".png", ".jpg")
      row["frame"] = "0"
  found, faults = schema.parse(
    [(f"line {i}", row) for i, row in enumerate(rows)], tasks.Tasks()
  )
  assert not faults
  inputs = run.Inputs(
    found, faults, media, media / "out", tasks.Tasks(),
    settings_lib.Settings(allow_overlap=True),
  )  # fmt: skip
  run.annotate(inputs, lambda text: None)
  return inputs.out


@pytest.fixture
def source(made, tmp_path):
  shutil.copytree(made, tmp_path / "AVUIE_2")
  return tmp_path / "AVUIE_2"


def _check(source, *names):
  said = []
  report = inspect_source.check(
    source, names or None, tasks.Tasks(), said.append
  )
  return report, "\n".join(said)


def _change(source, task, split, **values):
  path = source / task / f"{split}.json"
  rows = json.loads(path.read_text())
  rows[0].update(values)
  path.write_text(json.dumps(rows))


def _verdicts(report):
  return {(a.task, a.name): a.verdict for a in report.assumed}


def test_a_whole_source_is_good(source):
  report, said = _check(source)
  assert [a for a in report.assumed if a.verdict == findings.FAILS] == []
  assert [i for i in report.inventories if not i.complete] == []
  assert report.good
  verdicts = _verdicts(report)
  for name in ("s4", "ms3", "arig", "ref_avs"):
    assert verdicts[name, "boxes of targets are on the 224 grid"] == "holds"
  assert verdicts["ms3", "indices begin at 0"] == "holds"
  assert verdicts["arig", "corners are on the 224 grid"] == "holds"
  assert "not there: v2a, ks" in said
  assert "records would take" in said


def test_missing_files_are_told_by_pattern_with_ten_names(source):
  for path in (source / "meld").rglob("*.mp4"):
    path.unlink()
  (next((source / "ave/video").iterdir())).write_bytes(b"")
  (next((source / "s4").rglob("labels_rgb/*.png"))).unlink()
  report, said = _check(source, "meld", "ave", "s4")
  assert not report.good
  assert "meld train: 1 missing of meld/video/*.mp4" in said
  assert "1 empty of ave/video/*.mp4" in said
  assert sum(i.masks_missing for i in report.inventories) == 1
  many = [f"ks/video/{i:03d}.mp4" for i in range(25)] + ["ks/audio/a1/b.wav"]
  groups = inventory.patterns(many)
  assert {shape: len(own) for shape, own in groups.items()} == {
    "ks/video/*.mp4": 25,
    "ks/audio/a#/*.wav": 1,
  }


@pytest.mark.parametrize(
  ("task", "split", "values", "name"),
  [
    ("ms3", "train", {"frame_idx": 5}, "indices begin at 0"),
    ("ref_avs", "test", {"frame_idx": 10}, "indices begin at 0"),
    ("ms3", "train", {"frame_idx": 1}, "the index is the number of the picture"),
    ("s4", "train",
     {"label_content": "The drum is at [10,20,300,200], points [20,30]."},
     "boxes of targets are on the 224 grid"),
    ("arig", "test", {"bottom_right": [310, 200]}, "corners are on the 224 grid"),
    ("ave", "train", {"label_content": "A bell rings."}, "targets can be read"),
    ("ave", "train", {"label_content": "<event>Bell (1s - 5s)</event>"},
     "targets have the exact form"),
    ("ave", "test", {"end_time": 0}, "references can be compared"),
    ("ave", "test", {"end_time": 12}, "events lie in 0 to 10 s"),
    ("a2v", "train", {"correct_video": 1}, "correct_video is 1 or 2, as the target says"),
    ("a2v", "test", {"correct_video": 0}, "correct_video is 1 or 2, as the target says"),
    ("avqa_thu", "test", {"answer": 1}, "options are a list, the answer a text of it"),
    ("avqa_thu", "train", {"multi_choice": "A. cat B. dog"},
     "options are a list, the answer a text of it"),
    ("meld", "test", {"Emotion": "grumpy"}, "labels are in the scorers' table"),
  ],
)  # fmt: skip
def test_an_assumption_that_fails_is_told_with_its_row(
  source, task, split, values, name
):
  _change(source, task, split, **values)
  report, said = _check(source, task)
  assert _verdicts(report)[task, name] == findings.FAILS
  assert not report.good
  assert f"{task}: {name}: fails" in said
  (found,) = [a for a in report.assumed if a.name == name]
  assert (
    f"{task}/{split}/0" in found.examples[0]
    or "leniency" in name
    or (found.examples)
  )


def test_what_cannot_be_told_is_no_fault(source):
  """An index of 3 alone may count from 0 or from 1."""
  for split in ("train", "test"):
    _change(source, "ms3", split, frame_idx=3)
  report, _ = _check(source, "ms3")
  verdicts = _verdicts(report)
  assert verdicts["ms3", "indices begin at 0"] == findings.UNKNOWN


def test_a_missing_key_is_told(source):
  path = source / "ave/test.json"
  rows = json.loads(path.read_text())
  del rows[0]["event"]
  path.write_text(json.dumps([*rows, 7]))
  report, said = _check(source, "ave")
  assert not report.good
  assert "ave test: 1 rows cannot be used: missing_key: no key 'event'" in said


@pytest.mark.parametrize("broken", [False, True])
def test_the_command_exits_with_0_or_3(source, broken):
  if broken:
    _change(source, "meld", "test", Emotion="grumpy")
  done = subprocess.run(
    [sys.executable, "-m", "crab_jax.prepare", f"--source={source}", "--check",
     "--tasks=meld"],
    capture_output=True, text=True, cwd=_ROOT,
  )  # fmt: skip
  assert done.returncode == (3 if broken else 0), done.stderr
  assert "set   split" in done.stdout
