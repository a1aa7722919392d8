"""From a source to annotation files that `prepare` reads."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import conclusions
from crab_jax.annotation import provenance
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import tables
from crab_jax.annotation import writer_template
from crab_jax.annotation.review import entries
from crab_jax.annotation.review import reviews
from crab_jax.data import preparation
from crab_jax.data import tasks
from crab_jax.data.media import frames
from crab_jax.data.media import sound
from crab_jax.evaluation.reading import references
from tests.annotation import some_truths
from tests.annotation import sources
from tests.data import clips

_TABLE = some_truths.table()
_SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
  folder = tmp_path_factory.mktemp("media")
  sources.write_media(folder)
  return folder


def _inputs(rows, media, out, **settings):
  source = sources.write_csv(media / f"{out.name}.csv", rows)
  found, faults = schema.parse(tables.read(source), _TABLE)
  return run.Inputs(
    found, faults, media, out, _TABLE, settings_lib.Settings(**settings)
  )


def _rows(out, task, split):
  return json.loads((out / task / f"{split}.json").read_text())


def _origins(out, task):
  lines = (out / task / provenance.FILE).read_text().splitlines()
  return [json.loads(line) for line in lines]


def _bytes(out):
  """Everything but logs, by name."""
  return {
    str(path.relative_to(out)): path.read_bytes()
    for path in sorted(out.rglob("*"))
    if path.is_file() and run.STATE not in str(path)
  }


@pytest.fixture(scope="module")
def every(media, tmp_path_factory):
  """A row of every task in every split."""
  out = tmp_path_factory.mktemp("every")
  rows = [
    sources.row(task, i, split=split)
    for task in sources.ALL
    for i, split in enumerate(_SPLITS)
  ]
  rows += [
    {**sources.row("machine", i, label="belt", split=split)}
    for i, split in enumerate(_SPLITS)
  ]
  rows.append(sources.row("ref_avs", 2, exists="false", mask="", split="test"))
  summary = run.annotate(
    _inputs(rows, media, out, allow_overlap=True), lambda text: None
  )
  return out, summary


def test_every_task_is_prepared(every, tmp_path):
  """And every reference of a test row is read as its label."""
  out, summary = every
  assert summary["unbuilt"] == []
  config = configs.Preparation(frame_size=28, workers=1)
  prepared = preparation.prepare(
    out, tmp_path, config=config, show=lambda text: None, table=_TABLE,
    check=references.has_object,
  )  # fmt: skip
  statuses = {
    status
    for splits in prepared["tasks"].values()
    for counts in splits.values()
    for status in counts["statuses"]
  }
  assert statuses == {"ok"}
  assert prepared["records"] == 3 * (len(sources.ALL) + 1) + 1


# What the official loader indexes, by split: media, target, other keys.
_OFFICIAL = {
  "a2v": ("audio_path video1_path video2_path label correct_video audio_event"
          " video1_event video2_event",
          "audio_path video1_path video2_path correct_video"),
  "v2a": ("video_path audio1_path audio2_path label correct_audio audio1_event"
          " audio2_event video_event",
          "video_path audio1_path audio2_path correct_audio"),
  "ks": ("video_path audio_path label action", "video_path audio_path action"),
  "ucf": ("video_path audio_path new_label label",
          "video_path audio_path label"),
  "meld": ("video_path audio_path label Emotion",
           "video_path audio_path Emotion"),
  "mer24": ("video_path audio_path label discrete", ""),
  "avqa": ("video_path audio_path label question video_id question_id type"
           " answer",
           "video_path audio_path question answer video_id question_id type"),
  "avqa_thu": ("video_path audio_path label question_text multi_choice id"
               " video_name video_id question_relation question_type answer",
               "video_path audio_path question_text multi_choice answer"
               " video_id video_name question_type question_relation id"),
  "ave": ("video_path audio_path label_content event vid start_time end_time",
          "video_path audio_path event start_time end_time vid"),
  "unav": ("video_path audio_path label_content vid", ""),
  "avvp": ("video_path audio_path label_content filename vid event",
           "video_path audio_path event filename vid"),
  "ms3": ("image_path audio_path label_content frame_idx vid uid a_obj",
          "visual_path audio_path a_obj frame_idx vid uid"),
  "s4": ("image_path audio_path label_content vid uid a_obj",
         "visual_path audio_path a_obj frame_idx"),
  "arig": ("image_path audio_path label_content a_obj",
           "visual_path audio_path a_obj top_left bottom_right frame_idx"),
  "ref_avs": ("image_path audio_path output description idx vid fid uid",
              "visual_path audio_path object split vid uid fid frame_idx"),
  "avcap": ("video_path audio_path label_content video_id", ""),
}  # fmt: skip


@pytest.mark.parametrize("task", sources.ALL)
def test_the_official_loader_finds_its_keys(every, task):
  out, _ = every
  train, test = _OFFICIAL[task]
  for split, keys in (("train", train), ("val", train), ("test", test)):
    (row, *_) = _rows(out, task, split)
    assert {*keys.split()} <= {*row}, split
    assert len(json.dumps(row)) > 20


def test_test_rows_hold_no_reasoning(every):
  out, _ = every
  for name in sources.ALL:
    task = _TABLE[name]
    for row in _rows(out, name, "test") if task.has_test else ():
      assert task.target not in row or task.target in task.needs


def test_every_row_says_where_it_is_from(every):
  out, _ = every
  for name in sources.ALL:
    lines = _origins(out, name)
    for line in lines:
      row = _rows(out, name, line["split"])[line["row"]]
      assert row["id"] == line["id"] or name == "avqa_thu"
      assert line["from"].startswith(f"{out.name}.csv line ")
      assert all(len(m["sha256"]) == 64 for m in line["media"].values())
    assert {line["writer"] for line in lines} <= {"template", "none", "label"}


def test_a_finished_one_does_nothing_and_says_so(media, tmp_path):
  rows = [sources.row("ks", i) for i in range(3)]
  said = []
  first = run.annotate(_inputs(rows, media, tmp_path / "out"), said.append)
  before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.json")}
  again = run.annotate(_inputs(rows, media, tmp_path / "out"), said.append)
  assert again == first
  assert said[-1] == f"{tmp_path / 'out'} is complete: nothing to do"
  assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.json")}
  rows[0]["label"] = "singing"
  run.annotate(_inputs(rows, media, tmp_path / "out"), said.append)
  texts = [path.read_text() for path in (tmp_path / "out/ks").glob("*.json")]
  assert any("singing" in text for text in texts)


def test_the_sound_of_a_video_and_parts_of_files_are_made(media, tmp_path):
  """A part holds what the file has there."""
  whole = sources.row("ks", 0, start="1", end="3", split="train")
  run.annotate(_inputs([whole], media, tmp_path / "out"), lambda text: None)
  (row,) = _rows(tmp_path / "out", "ks", "train")
  folder = tmp_path / "out/ks"
  video = frames.read_video(folder / "video" / row["video_path"], 8, 28)
  assert video.decodable == 8
  levels = [int(frame.mean()) for frame in video.frames]
  wanted = [clips.level(4 + i) for i in range(8)]
  # The coder moves a level by some; frames beside each other differ by five.
  assert np.mean(np.subtract(levels, wanted)) == pytest.approx(0, abs=2)
  heard = sound.read_audio(folder / "audio" / row["audio_path"]).samples
  wave = sound.read_audio(media / "a0.wav").samples[16_000:48_000]
  assert abs(heard - wave).max() < 1e-4


def test_what_is_not_built_is_counted_and_named(media, tmp_path):
  rows = [
    sources.row("ks", 0),
    sources.row("ks", 1, video="gone.mp4"),
    sources.row("ks", 1, audio="p0.png"),
    sources.row("ks", 1, label="<answer>x</answer>"),
    sources.row("ave", 1, events="", label="Dog"),
    sources.row("ave", 1, events="Dog@3-9"),
    sources.row("ave", 1, events="Dog@1-2;Cat@1-2", split="test"),
    sources.row("arig", 2, box="1,1,1,9"),
    sources.row("ks", 2, events="Dog@3-90"),  # they would help its writer
  ]
  summary = run.annotate(
    _inputs(rows, media, tmp_path / "out", allow_overlap=True),
    lambda text: None,
  )
  found = {(u["task"], u["status"]): u["rows"] for u in summary["unbuilt"]}
  assert found == {
    ("arig", "empty_box"): 1,
    ("ave", "bad_times"): 1,
    ("ave", "several_events"): 1,
    ("ave", "weak_label"): 1,
    ("ks", "bad_times"): 1,
    ("ks", "missing_file"): 1,
    ("ks", "no_sound"): 1,
    ("ks", "unsayable"): 1,
  }
  assert summary["rows"] == 9 == 1 + sum(found.values())
  lines = (tmp_path / "out" / run.STATE / "unbuilt.jsonl").read_text()
  assert "gone.mp4" in lines
  assert all(json.loads(line)["where"] for line in lines.splitlines())


def test_a_row_that_is_lost_ends_it(media, tmp_path, monkeypatch):
  expand = run.expansion.expand
  monkeypatch.setattr(
    run.expansion, "expand", lambda rows, *rest: expand(rows[:-1], *rest)
  )
  rows = [sources.row("ks", i) for i in range(3)]
  with pytest.raises(
    errors.UserError, match=r"1 of 3 rows are neither .*line 4"
  ):
    run.annotate(_inputs(rows, media, tmp_path / "out"), print)
  assert not (tmp_path / "out" / run.SUMMARY).exists()


def test_a_template_that_reads_as_another_answer_ends_it(media, tmp_path):
  """It would be so in many rows; a teacher's text is one row's alone."""
  tree = json.loads(writer_template._OURS.read_text())
  tree["segmentation"]["closings"] = ["It is at [1,2,3,4]."]
  (tmp_path / "own.json").write_text(json.dumps(tree))
  rows = [sources.row("arig", 0, split="train")]
  inputs = _inputs(
    rows, media, tmp_path / "out", templates=str(tmp_path / "own.json")
  )
  with pytest.raises(errors.UserError, match=r"line 2: the template .*another"):
    run.annotate(inputs, print)


def test_lines_that_are_no_rows_end_it_or_are_left_out(media, tmp_path):
  rows = [sources.row("ks", 0), sources.row("ks", 1, label="")]
  with pytest.raises(errors.UserError, match="1 lines are no rows: .*line 3"):
    run.annotate(_inputs(rows, media, tmp_path / "out"), print)
  assert not (tmp_path / "out").exists()
  said = []
  summary = run.annotate(
    _inputs(rows, media, tmp_path / "out", allow_invalid=True), said.append
  )
  assert summary["invalid"] == 1
  assert "1 lines that are no rows" in said[-1]


def test_a_group_or_a_file_in_two_splits_ends_it(media, tmp_path):
  rows = [
    sources.row("ks", 0, group="ann", split="train"),
    sources.row("ks", 1, group="ann", split="test"),
  ]
  with pytest.raises(errors.UserError, match="share a group or a media file"):
    run.annotate(_inputs(rows, media, tmp_path / "a"), print)
  # The same bytes under another name.
  (media / "copy.mp4").write_bytes((media / "v0.mp4").read_bytes())
  rows = [
    sources.row("ks", 0, split="train"),
    sources.row("ks", 1, video="copy.mp4", split="test"),
  ]
  with pytest.raises(errors.UserError, match="share a group or a media file"):
    run.annotate(_inputs(rows, media, tmp_path / "b"), print)


def test_true_times_or_whole_seconds(media, tmp_path):
  for window, said in ((0.0, "(0.3 4.25)"), (10.0, "(0 5)")):
    out = tmp_path / f"out{window:g}"
    rows = [sources.row("unav", 0, events="Dog@0.3-4.25", split="train")]
    run.annotate(_inputs(rows, media, out, window=window), lambda text: None)
    assert said in _rows(out, "unav", "train")[0]["label_content"]


def test_a_long_clip_is_cut_into_windows(media, tmp_path):
  rows = [sources.row("unav", 0, events="Dog@0-1.4;Cat@3-5", split="train")]
  run.annotate(
    _inputs(rows, media, tmp_path / "out", window=2.0, windows_per_clip=2),
    lambda text: None,
  )
  found = _rows(tmp_path / "out", "unav", "train")
  assert [row["label_content"].split(". ")[-1] for row in found] == [
    "<event>Dog, (0 2)</event>.",
    "<event>Cat, (0 2)</event>.",
  ]
  assert len({row["video_path"] for row in found}) == 2


def test_weak_labels_may_last_as_long_as_the_clip(media, tmp_path):
  rows = [sources.row("avvp", 0, events="", label="Dog;Cat", split="train")]
  run.annotate(
    _inputs(rows, media, tmp_path / "out", weak="whole"), lambda text: None
  )
  (row,) = _rows(tmp_path / "out", "avvp", "train")
  assert "<visual>Dog, (0 5)</visual>" in row["label_content"]
  assert _origins(tmp_path / "out", "avvp")[0]["marks"] == ["weak"]


def test_bare_conclusions(media, tmp_path):
  rows = [sources.row("ks", 0, split="train")]
  run.annotate(
    _inputs(rows, media, tmp_path / "out", writer="bare"), lambda text: None
  )
  (row,) = _rows(tmp_path / "out", "ks", "train")
  assert row["label"] == "<answer>playing_piano</answer>."


def test_captions_are_built_when_they_are_accepted(media, tmp_path):
  """Their text is the label itself; a person can still accept or reject it."""
  inputs = _inputs(
    [sources.row("avcap", 0, split="train")], media, tmp_path / "out",
    require_review="all",
  )  # fmt: skip
  (unbuilt,) = run.annotate(inputs, lambda text: None)["unbuilt"]
  assert unbuilt["status"] == "unreviewed"
  (entry,) = entries.read(tmp_path / "out" / run.STATE)
  decision = {"id": entry["id"], "hash": entry["hash"], "verdict": "accept",
              "text": "", "reason": "", "reviewer": "ann"}  # fmt: skip
  (tmp_path / "out" / reviews.FILE).write_text(json.dumps(decision) + "\n")
  assert run.annotate(inputs, lambda text: None)["unbuilt"] == []
  (row,) = _rows(tmp_path / "out", "avcap", "train")
  assert row["label_content"] == "A grey screen becomes brighter."


_COMMAND = [sys.executable, "-m", "crab_jax.annotate"]


@pytest.mark.slow
def test_a_kill_at_any_moment_changes_no_byte(media, tmp_path):
  rows = [
    sources.row(task, i) for task in ("ks", "avvp", "arig") for i in range(4)
  ]
  rows += [sources.row("unav", i, start="1", end="4.5", events="Dog@0-2")
           for i in range(4)]  # fmt: skip
  source = sources.write_csv(media / "kills.csv", rows)

  def command(out):
    return [*_COMMAND, f"--source={source}", f"--out={out}", "--window=2"]

  begun = time.monotonic()
  subprocess.run(command(tmp_path / "a"), check=True, capture_output=True)
  took = time.monotonic() - begun
  for attempt in range(8):
    child = subprocess.Popen(
      command(tmp_path / "b"),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    time.sleep(took * (0.4 + 0.07 * attempt))
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
  subprocess.run(command(tmp_path / "b"), check=True, capture_output=True)
  one, other = _bytes(tmp_path / "a"), _bytes(tmp_path / "b")
  assert {n for n in other if ".incomplete" in n} == set()
  assert one == other


@pytest.mark.slow
def test_ten_thousand_rows_take_less_than_a_minute(media, tmp_path):
  names = [n for n in sources.ALL if n not in ("s4", "ms3", "arig", "ref_avs")]
  rows = [
    sources.row(names[i % len(names)], i % 4, id=f"row{i}")
    for i in range(10_000)
  ]
  inputs = _inputs(rows, media, tmp_path / "out")
  begun = time.process_time()
  summary = run.annotate(inputs, lambda text: None)
  assert time.process_time() - begun < 60
  built = sum(sum(counts.values()) for counts in summary["tasks"].values())
  assert built == 10_000


def test_two_processes_do_not_write_one_folder(media, tmp_path):
  inputs = _inputs([sources.row("ks", 0)], media, tmp_path / "out")
  (tmp_path / "out").mkdir()
  with (
    files.lock(tmp_path / "out/.annotate.lock"),
    pytest.raises(errors.UserError, match="another process"),
  ):
    run.annotate(inputs, print)


def test_the_command(media, tmp_path):
  source = sources.write_csv(
    media / "command.csv", [sources.row("ks", i) for i in range(3)]
  )
  done = subprocess.run(
    [*_COMMAND, f"--source={source}", f"--out={tmp_path}/out"],
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).resolve().parents[2],
  )
  assert done.returncode == 0, done.stderr
  speed, counts = done.stdout.splitlines()
  assert re.fullmatch(r"3 rows in [\d.]+ s, [\d.]+ rows/s", speed)
  assert counts == "ks: 1 train, 1 val, 1 test"


def test_every_conclusion_is_read_where_the_row_is_built(every):
  """The built-in tasks' targets, through the reader of annotations."""
  out, _ = every
  for name in sources.ALL:
    (row,) = _rows(out, name, "train")
    text = row[_TABLE[name].target]
    assert text.endswith(".")
    assert conclusions.answers.parse(_TABLE[name], text).failure is None
  assert {*sources.ALL} < {*tasks.Tasks()}
