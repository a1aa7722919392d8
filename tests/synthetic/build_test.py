"""The world on disk: keys, files, splits, determinism, completeness."""

import collections
import dataclasses
import hashlib
import json
import pathlib

import av
import pytest
import soundfile

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.synthetic import build
from crab_jax.synthetic import plans
from tests.synthetic import conftest

_CLIP = {"video_path", "audio_path"}
_IMAGE = {"image_path", "audio_path"}
_EMOTION = _CLIP | {"label", "emotion"}
TRAIN_KEYS = {
  "a2v": {
    "audio_path",
    "video1_path",
    "video2_path",
    "label",
    "correct_video",
    "audio_event",
    "video1_event",
    "video2_event",
  },
  "v2a": {
    "video_path",
    "audio1_path",
    "audio2_path",
    "label",
    "correct_audio",
    "audio1_event",
    "audio2_event",
    "video_event",
  },
  "ks": _CLIP | {"label", "action"},
  "ucf": _CLIP | {"new_label", "label"},
  "meld": _CLIP | {"label", "Emotion"},
  "mer24": _CLIP | {"label", "discrete"},
  "cremad": _EMOTION,
  "mafw": _EMOTION,
  "dfew": _EMOTION,
  "avqa": _CLIP
  | {"label", "question", "video_id", "question_id", "type", "answer"},
  "avqa_thu": _CLIP
  | {
    "label",
    "question_text",
    "multi_choice",
    "id",
    "video_name",
    "video_id",
    "question_relation",
    "question_type",
    "answer",
  },
  "ave": _CLIP | {"label_content", "event", "vid", "start_time", "end_time"},
  "unav": _CLIP | {"label_content", "vid", "original_label"},
  "avvp": _CLIP | {"label_content", "filename", "vid", "event"},
  "ms3": _IMAGE | {"label_content", "frame_idx", "vid", "uid", "a_obj"},
  "s4": _IMAGE | {"label_content", "vid", "uid", "a_obj"},
  "arig": _IMAGE | {"label_content", "a_obj"},
  "ref_avs": _IMAGE | {"output", "description", "idx", "vid", "fid", "uid"},
  "avcap": _CLIP | {"label_content", "video_id"},
}
_TEST_IMAGE = {"visual_path", "audio_path"}
TEST_KEYS = {
  "a2v": {"audio_path", "video1_path", "video2_path", "correct_video"},
  "v2a": {"video_path", "audio1_path", "audio2_path", "correct_audio"},
  "ks": _CLIP | {"action"},
  "ucf": _CLIP | {"label"},
  "meld": _CLIP | {"Emotion"},
  "cremad": _CLIP | {"emotion"},
  "mafw": _CLIP | {"emotion"},
  "dfew": _CLIP | {"emotion"},
  "avqa": TRAIN_KEYS["avqa"] - {"label"},
  "avqa_thu": TRAIN_KEYS["avqa_thu"] - {"label"},
  "ave": TRAIN_KEYS["ave"] - {"label_content"},
  "avvp": TRAIN_KEYS["avvp"] - {"label_content"},
  "ms3": _TEST_IMAGE | {"a_obj", "frame_idx", "vid", "uid"},
  "s4": _TEST_IMAGE | {"a_obj", "frame_idx", "vid", "uid"},
  "arig": _TEST_IMAGE | {"a_obj", "top_left", "bottom_right", "frame_idx"},
  "ref_avs": _TEST_IMAGE
  | {"object", "split", "vid", "uid", "fid", "frame_idx"},
}
NAMES = [task.name for task in tasks.Tasks().values()]


def _records(world: pathlib.Path, task: str, split: str) -> list[dict]:
  return json.loads((world / task / f"{split}.json").read_text())


def _truths(world: pathlib.Path, task: str, split: str) -> list[dict]:
  lines = (world / task / f"{split}_truth.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def _media(world, task: str, split: str):
  """The files that the records of a split name, with the kind of each."""
  row = tasks.Tasks()[task]
  for record in _records(world, task, split):
    for key in row.media_keys(split):
      kind = key.split("_")[0].rstrip("12")
      folder = world / task / ("" if row.visual == "image" else kind)
      yield kind, folder / record[key]


@pytest.mark.parametrize("task", NAMES)
def test_records_have_exactly_the_keys_of_the_dataset(small_world, task):
  for split, count in (("train", 8), ("val", 4)):
    records = _records(small_world, task, split)
    assert len(records) == count
    assert all(record.keys() == TRAIN_KEYS[task] for record in records)
  if tasks.Tasks()[task].has_test:
    records = _records(small_world, task, "test")
    assert len(records) == 8
    assert all(record.keys() == TEST_KEYS[task] for record in records)
  else:
    assert not (small_world / task / "test.json").exists()


@pytest.mark.parametrize("task", NAMES)
def test_media_decode(small_world, task):
  row = tasks.Tasks()[task]
  seconds = collections.defaultdict(lambda: 10)
  seconds |= {"avqa": 20, "s4": 5, "ms3": 5, "arig": 5}
  seconds |= dict.fromkeys(("meld", "mer24", "cremad", "mafw", "dfew"), 4)
  for kind, path in list(_media(small_world, task, "val")):
    if kind == "audio":
      info = soundfile.info(path)
      assert (info.samplerate, info.channels) == (16000, 1)
      assert info.frames == seconds[task] * 16000
    elif kind == "video":
      with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
      assert frames == 4 * seconds[task]
      assert frames >= row.frames
    else:
      assert path.suffix == ".jpg"
      assert path.exists()


def test_splits_share_no_media(small_world):
  used = collections.defaultdict(set)
  for task in NAMES:
    for split in ("train", "val", "test"):
      if (small_world / task / f"{split}.json").exists():
        for _, path in _media(small_world, task, split):
          used[split].add(hashlib.sha256(path.read_bytes()).hexdigest())
  assert not used["train"] & used["val"]
  assert not used["train"] & used["test"]
  assert not used["val"] & used["test"]


def test_held_out_combinations_are_seen_in_tests_only(small_world):
  shares = {split: [] for split in ("train", "val", "test")}
  for task in NAMES:
    for split, found in shares.items():
      if (small_world / task / f"{split}.json").exists():
        found += [t["held_out"] for t in _truths(small_world, task, split)]
  assert not any(shares["train"] + shares["val"])
  assert 0.05 < sum(shares["test"]) / len(shares["test"]) < 0.5


def test_truths_are_of_the_records_row_by_row(small_world):
  for record, truth in zip(
    _records(small_world, "ave", "test"),
    _truths(small_world, "ave", "test"),
    strict=True,
  ):
    span = record["start_time"], record["end_time"]
    assert truth["answer"] == str(span)


@pytest.mark.parametrize("task", NAMES)
def test_a_seed_gives_a_world(task):
  row = tasks.Tasks()[task]

  def planned(seed):
    world = dataclasses.replace(conftest.WORLD, seed=seed)
    plan = build.plan(row, "train", world)
    return plan.records, plan.truths, plan.jobs

  assert planned(3) == planned(3)
  assert planned(3) != planned(4)


def test_media_are_the_same_bytes_again(small_world, tmp_path):
  for task in ("ks", "ucf", "meld", "ave", "ms3", "ref_avs"):
    jobs = build.plan(tasks.Tasks()[task], "val", conftest.WORLD).jobs[:2]
    for job in jobs:
      job.write(tmp_path, conftest.WORLD.video_size, conftest.WORLD.video_fps)
  files = [path for path in tmp_path.rglob("*.*") if path.is_file()]
  assert len(files) > 40
  for path in files:
    again = small_world / path.relative_to(tmp_path)
    assert again.read_bytes() == path.read_bytes(), path


def test_test_labels_were_trained_on():
  world = configs.World()
  for task, key in (
    ("ks", "action"),
    ("ucf", "label"),
    ("meld", "Emotion"),
    ("cremad", "emotion"),
    ("mafw", "emotion"),
    ("dfew", "emotion"),
    ("ave", "event"),
    ("s4", "a_obj"),
    ("avqa", "answer"),
  ):
    train, test = (
      {r[key] for r in build.plan(tasks.Tasks()[task], split, world).records}
      for split in ("train", "test")
    )
    assert test <= train


def test_texts_are_short_and_words_are_few():
  words, lengths = set(), {}
  for task in tasks.Tasks().values():
    plan = build.plan(task, "train", configs.World())
    texts = [record[task.target] for record in plan.records]
    lengths[task.name] = [len(text.split()) for text in texts]
    words |= {word.strip(".,:<>/()") for text in texts for word in text.split()}
  assert max(max(found) for found in lengths.values()) <= 55
  mean = {name: sum(found) / len(found) for name, found in lengths.items()}
  assert all(12 < value < 40 for value in mean.values()), mean
  assert len({word for word in words if word.isalpha()}) < 300


def test_a_second_build_changes_nothing(small_world):
  before = {p: p.stat().st_mtime_ns for p in small_world.rglob("*")}
  counts = build.write(small_world.parent, conftest.WORLD)
  assert counts["ks"] == {"train": 8, "val": 4, "test": 8}
  assert counts["unav"] == {"train": 8, "val": 4}
  assert {p: p.stat().st_mtime_ns for p in small_world.rglob("*")} == before


def test_another_configuration_is_refused(small_world):
  other = dataclasses.replace(conftest.WORLD, seed=4)
  with pytest.raises(errors.UserError, match="'seed': 3.*'seed': 4"):
    build.write(small_world.parent, other)


def test_a_folder_that_is_no_world_is_left_alone(tmp_path):
  precious = tmp_path / "AVUIE_2/ks/train.json"
  precious.parent.mkdir(parents=True)
  precious.write_text("[]")
  with pytest.raises(errors.UserError, match="not a synthetic world"):
    build.write(tmp_path, conftest.WORLD)
  assert precious.read_text() == "[]"


def test_an_interrupted_build_is_no_world(tmp_path, monkeypatch):
  def stop(*unused):
    raise KeyboardInterrupt

  monkeypatch.setattr(build, "_render", stop)
  with pytest.raises(KeyboardInterrupt):
    build.write(tmp_path, conftest.WORLD)
  assert not (tmp_path / build.FOLDER).exists()
  (partial,) = tmp_path.iterdir()
  assert (partial / "ks/train.json").exists()
  (partial / "leftover").touch()
  monkeypatch.setattr(build, "_render", lambda *unused: None)
  build.write(tmp_path, conftest.WORLD)
  assert [path.name for path in tmp_path.iterdir()] == [build.FOLDER]
  assert not (tmp_path / build.FOLDER / "leftover").exists()


def test_a_failed_file_is_reported_and_leaves_no_world(tmp_path, monkeypatch):
  def full(*unused):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(build, "_render", full)
  with pytest.raises(errors.UserError, match="No space left"):
    build.write(tmp_path, conftest.WORLD)
  assert not (tmp_path / build.FOLDER).exists()


@pytest.mark.parametrize(
  ("field", "value"), [("video_size", 100), ("video_fps", 1)]
)
def test_unfit_frames_are_refused(tmp_path, field, value):
  world = dataclasses.replace(conftest.WORLD, **{field: value})
  with pytest.raises(errors.UserError, match=f"World.{field}={value}"):
    build.write(tmp_path, world)


def test_all_planned_files_are_on_disk(small_world):
  for task in tasks.Tasks().values():
    for job in build.plan(task, "train", conftest.WORLD).jobs:
      if isinstance(job, plans.Video | plans.Audio):
        assert all((small_world / path).is_file() for path in job.targets)


def test_a_dataset_may_have_more_training_records():
  world = dataclasses.replace(conftest.WORLD, train_factors={"avqa": 3})
  more, same = tasks.Tasks()["avqa"], tasks.Tasks()["ks"]
  assert len(build.plan(more, "train", world).records) == 24
  assert len(build.plan(more, "val", world).records) == 4
  assert len(build.plan(same, "train", world).records) == 8


def test_a_factor_of_an_unknown_dataset_is_named(tmp_path):
  world = dataclasses.replace(conftest.WORLD, train_factors={"avaq": 3})
  with pytest.raises(errors.UserError, match="train_factors: unknown avaq"):
    build.write(tmp_path, world)
  assert not list(tmp_path.iterdir())
