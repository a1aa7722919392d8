import fcntl
import json
import pathlib
import shutil

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import assembly
from crab_jax.data import preparation
from crab_jax.data import preparation_local
from crab_jax.data import prepared_records
from crab_jax.data import records
from crab_jax.data.media import frames as video_frames
from tests.data import clips

_REAL = (
  pathlib.Path(__file__).resolve().parents[2] / "../shared/real_clips/AVUIE_2"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  """A source folder with three datasets; not to be changed."""
  source = tmp_path_factory.mktemp("world") / "AVUIE_2"
  clips.write_emotion(source, "cremad", 7)
  clips.write_emotion(source, "dfew", 3)
  clips.write_segmentation(source)
  return source


@pytest.fixture
def source(world, tmp_path):
  """A copy that a test may change."""
  return pathlib.Path(shutil.copytree(world, tmp_path / "AVUIE_2"))


def _here(preparer, shards):
  """A runner in this process, where functions can be replaced."""
  for shard in shards:
    preparer.write(shard, lambda steps: None)


def _prepare(source, out, names=None, runner=_here, **settings):
  fields = {"frame_size": 28, "shard_records": 3, **settings}
  return preparation.prepare(
    source, out, names, configs.Preparation(**fields), runner
  )


def _files(out):
  """Every file under `out` with its bytes."""
  return {
    str(path.relative_to(out)): path.read_bytes()
    for path in sorted(out.rglob("*"))
    if path.is_file()
  }


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def assembled(monkeypatch):
  """The ids of the rows that were really worked on."""
  ids = []
  assemble = assembly.assemble

  def record(reader, task, split, row, values):
    ids.append(f"{task.name}/{split}/{row}")
    return assemble(reader, task, split, row, values)

  monkeypatch.setattr(assembly, "assemble", record)
  return ids


def test_everything_is_written(world, tmp_path, capsys):
  summary = _prepare(world, tmp_path)
  assert (summary["rows"], summary["records"]) == (13, 13)
  assert json.loads((tmp_path / "summary.json").read_text()) == summary
  assert summary["preparation"]["frame_size"] == 28
  assert summary["tasks"]["cremad"]["train"]["shard_records"] == [3, 3, 1]
  assert prepared_records.read(tmp_path).splits() == {
    "cremad": {"train": 7},
    "dfew": {"train": 3},
    "s4": {"train": 2, "test": 1},
  }
  found = list(records.read_split(tmp_path, "cremad", "train"))
  assert [record.row for record in found] == list(range(7))
  assert found[4].target == "Reason 4. <answer>joy</answer>."
  manifest = _lines(tmp_path / "manifest.jsonl")
  assert len(manifest) == 13
  assert manifest[0]["id"] == "cremad/train/0"
  assert manifest[0]["status"] == "ok"
  assert (tmp_path / "bad_media.jsonl").read_text() == ""
  assert "cremad" in capsys.readouterr().out


def test_the_number_of_workers_does_not_matter(world, tmp_path):
  _prepare(world, tmp_path / "here")
  for workers in (1, 2):
    out = tmp_path / str(workers)
    _prepare(world, out, runner=preparation_local.run, workers=workers)
    assert _files(out) == _files(tmp_path / "here")


def test_a_second_call_does_nothing_again(world, tmp_path, assembled):
  first = _prepare(world, tmp_path)
  before = _files(tmp_path)
  assembled.clear()
  assert _prepare(world, tmp_path) == first
  assert assembled == []
  assert _files(tmp_path) == before


def test_a_second_call_takes_nothing_from_those_who_read(
  world, tmp_path, monkeypatch
):
  """Another process may open the records at any moment."""
  _prepare(world, tmp_path)
  taken = []
  unlink = pathlib.Path.unlink
  monkeypatch.setattr(
    pathlib.Path,
    "unlink",
    lambda path, **options: (taken.append(path.name), unlink(path, **options)),
  )
  infos = sorted(tmp_path.rglob("dataset_info.json"))
  times = [path.stat().st_mtime_ns for path in infos]
  _prepare(world, tmp_path)
  assert taken == []
  assert [path.stat().st_mtime_ns for path in infos] == times


def test_interrupted_it_goes_on_where_it_was(
  world, tmp_path, monkeypatch, assembled
):
  _prepare(world, tmp_path / "once")
  assembled.clear()
  encode = records.encode

  def stop(record):
    if record.id == "cremad/train/4":
      raise KeyboardInterrupt
    return encode(record)

  monkeypatch.setattr(records, "encode", stop)
  with pytest.raises(KeyboardInterrupt):
    _prepare(world, tmp_path / "twice")
  assert not (tmp_path / "twice/summary.json").exists()
  monkeypatch.setattr(records, "encode", encode)
  assembled.clear()
  _prepare(world, tmp_path / "twice")
  assert assembled[0] == "cremad/train/4"
  assert len(assembled) == 13 - 4
  assert _files(tmp_path / "once") == _files(tmp_path / "twice")


def test_changed_annotations_are_read_again(source, tmp_path, assembled):
  _prepare(source, tmp_path / "out")
  rows = json.loads((source / "cremad/train.json").read_text())
  rows[5]["label"] = "New. <answer>joy</answer>."
  clips.write_annotations(source, "cremad", "train", rows)
  assembled.clear()
  _prepare(source, tmp_path / "out")
  assert assembled == [f"cremad/train/{row}" for row in (3, 4, 5)]
  found = list(records.read_split(tmp_path / "out", "cremad", "train"))
  assert found[5].target.startswith("New.")


def test_a_mended_file_is_read_again(source, tmp_path):
  path = source / "dfew/audio/-1.wav"
  good = path.read_bytes()
  path.write_bytes(good[:100])
  budget = {"max_bad_share": 1.0, "max_bad_task_share": 1.0}
  assert _prepare(source, tmp_path / "out", **budget)["records"] == 12
  path.write_bytes(good)
  assert _prepare(source, tmp_path / "out", **budget)["records"] == 13


def test_changed_settings_are_used(world, tmp_path, assembled):
  _prepare(world, tmp_path)
  assembled.clear()
  _prepare(world, tmp_path, frame_format="png")
  assert len(assembled) == 13
  record = next(records.read_split(tmp_path, "s4", "test"))
  assert record.frames[0].startswith(b"\x89PNG")


def test_datasets_can_be_added(world, tmp_path):
  _prepare(world, tmp_path / "all")
  _prepare(world, tmp_path / "parts", ("s4", "dfew"))
  assert list(prepared_records.read(tmp_path / "parts").splits()) == [
    "dfew",
    "s4",
  ]
  _prepare(world, tmp_path / "parts", ("cremad",))
  assert _files(tmp_path / "parts") == _files(tmp_path / "all")


def test_datasets_of_one_folder_have_the_same_settings(world, tmp_path):
  _prepare(world, tmp_path, ("s4",))
  before = _files(tmp_path)
  with pytest.raises(errors.UserError, match="s4 prepared with frame_size=28"):
    _prepare(world, tmp_path, ("dfew",), frame_size=56)
  assert _files(tmp_path) == before


def test_shards_of_another_size_are_removed(world, tmp_path):
  _prepare(world, tmp_path, ("cremad",), shard_records=2)
  _prepare(world, tmp_path, ("cremad",), shard_records=7)
  assert len(records.shards(tmp_path, "cremad", "train")) == 1
  assert len(list((tmp_path / "journal/cremad").iterdir())) == 1
  assert prepared_records.read(tmp_path).splits() == {"cremad": {"train": 7}}


def test_too_many_bad_records_fail_after_the_report(source, tmp_path, capsys):
  out = tmp_path / "out"
  _prepare(source, out)
  (source / "dfew/video/-2.mp4").unlink()
  with pytest.raises(errors.UserError) as caught:
    _prepare(source, out, max_bad_share=0.01, max_bad_task_share=0.5)
  assert "1 of 13 records are bad, more than max_bad_share=0.01" in str(
    caught.value
  )
  (bad,) = _lines(out / "bad_media.jsonl")
  assert bad["id"] == "dfew/train/2"
  assert bad["status"] == "missing_file"
  assert "dfew/video/-2.mp4" in bad["reason"]
  assert "dfew/train/2" in capsys.readouterr().out
  assert not (out / "summary.json").exists()
  assert not list(out.rglob("dataset_info.json"))
  with pytest.raises(errors.UserError, match="no finished preparation"):
    prepared_records.read(out).splits()


def test_few_bad_records_are_left_out(source, tmp_path):
  (source / "dfew/video/-2.mp4").unlink()
  out = tmp_path / "out"
  summary = _prepare(source, out, max_bad_share=0.1, max_bad_task_share=0.5)
  assert summary["records"] == 12
  assert summary["tasks"]["dfew"]["train"]["statuses"] == {
    "ok": 2,
    "missing_file": 1,
  }
  found = list(records.read_split(out, "dfew", "train"))
  assert [record.row for record in found] == [0, 1]
  assert len(_lines(out / "manifest.jsonl")) == 13


def test_a_val_split_is_read_with_the_keys_of_train(source, tmp_path):
  shutil.copy(source / "dfew/train.json", source / "dfew/val.json")
  _prepare(source, tmp_path / "out", ("dfew",))
  assert prepared_records.read(tmp_path / "out").splits() == {
    "dfew": {"train": 3, "val": 3}
  }
  record = next(records.read_split(tmp_path / "out", "dfew", "val"))
  assert record.reference["text"] == record.target


def test_an_empty_annotation_file_makes_an_empty_split(tmp_path):
  clips.write_annotations(tmp_path / "source", "ks", "test", [])
  summary = _prepare(tmp_path / "source", tmp_path / "out")
  assert summary["records"] == 0
  assert prepared_records.read(tmp_path / "out").splits() == {"ks": {"test": 0}}


@pytest.mark.parametrize("text", ["{}", "[1"])
def test_a_broken_annotation_stops_before_any_work(source, tmp_path, text):
  (source / "s4/test.json").write_text(text)
  with pytest.raises(errors.UserError, match="s4/test.json"):
    _prepare(source, tmp_path / "out")
  assert not (tmp_path / "out").exists()


def test_two_preparations_of_one_folder_do_not_mix(world, tmp_path):
  with (tmp_path / ".lock").open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(errors.UserError, match="another preparation"):
      _prepare(world, tmp_path)


def test_a_full_disk_is_an_error_that_says_where_and_how_to_go_on(
  world, tmp_path
):
  def full(*_):
    raise OSError(28, "No space left on device")

  with pytest.raises(errors.UserError) as caught:
    _prepare(world, tmp_path / "out", runner=full)
  assert str(tmp_path / "out") in str(caught.value)
  assert "No space left" in str(caught.value)
  assert "goes on" in str(caught.value)


_ODD_ROWS = [
  None,
  7,
  "text",
  [[]],
  {},
  {"video_path": 1, "audio_path": None},
  {"video_path": "a\0b", "audio_path": "-0.wav"},
  {"video_path": "x" * 5000, "audio_path": "-0.wav"},
  {"video_path": "../../../../etc/passwd", "audio_path": "-0.wav"},
  {"video_path": "-0.wav", "audio_path": "-0.mp4"},
  {"video_path": "-0.mp4", "audio_path": "-0.wav", "emotion": {"a": [1]}},
  {"video_path": "-0.mp4", "audio_path": "-0.wav", "more": "\ud800"},
  {"video_path": "-0.mp4", "audio_path": "-0.wav", "more": 10**400},
]


def test_no_annotation_ends_a_preparation(source, tmp_path):
  rows = json.loads((source / "dfew/train.json").read_text())
  odd = [
    {"emotion": "joy", "label": "x", **row} if isinstance(row, dict) else row
    for row in _ODD_ROWS
  ]
  clips.write_annotations(source, "dfew", "train", [*odd, *rows])
  summary = _prepare(
    source, tmp_path, ("dfew",), max_bad_share=1, max_bad_task_share=1
  )
  manifest = _lines(tmp_path / "manifest.jsonl")
  assert len(manifest) == summary["rows"] == len(odd) + 3
  assert [line["status"] for line in manifest[-3:]] == ["ok"] * 3
  for line in manifest:
    assert line["id"]
    assert line["status"] == "ok" or line["reason"]


@pytest.mark.parametrize(
  "error",
  [MemoryError(), RecursionError("deep"), KeyError("a"), OSError(5, "b")],
)
@pytest.mark.parametrize("where", ["read", "encode"])
def test_whatever_one_annotation_raises_is_counted(
  world, tmp_path, monkeypatch, error, where
):
  owner, name = {
    "read": (video_frames, "read_video"),
    "encode": (records, "encode"),
  }[where]
  right = getattr(owner, name)

  def wrong(first, *rest):
    if "-1.mp4" in str(getattr(first, "meta", first)):
      raise error
    return right(first, *rest)

  monkeypatch.setattr(owner, name, wrong)
  summary = _prepare(
    world, tmp_path, ("dfew",), max_bad_share=1, max_bad_task_share=1
  )
  assert summary["tasks"]["dfew"]["train"]["statuses"] == {
    "ok": 2,
    "failed": 1,
  }
  (bad,) = _lines(tmp_path / "bad_media.jsonl")
  assert bad["id"] == "dfew/train/1"
  assert type(error).__name__ in bad["reason"]


def test_too_many_bad_records_say_which_flags_allow_them(source, tmp_path):
  (source / "dfew/video/-2.mp4").unlink()
  with pytest.raises(errors.UserError, match="--max_bad_share.*--max_bad_task"):
    _prepare(source, tmp_path)


@pytest.mark.skipif(not _REAL.is_dir(), reason="no real clips beside the repo")
def test_the_real_clips(tmp_path):
  summary = _prepare(_REAL.parent, tmp_path, frame_size=224)
  assert summary["records"] == summary["rows"] == 6
  (record,) = records.read_split(tmp_path, "ave", "train")
  assert record.meta["media"][0] == "ave/video/-67UNKFmRLk.mp4"
  for task in ("s4", "ref_avs"):
    for split in ("train", "test"):
      (record,) = records.read_split(tmp_path, task, split)
      assert record.mask
