import json

import numpy as np
import pytest
from PIL import Image

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import assembly
from crab_jax.data import encodings
from crab_jax.data import tasks
from crab_jax.data import windows
from crab_jax.data.media import sound
from tests.data import clips


@pytest.fixture
def source(tmp_path):
  clips.write_segmentation(tmp_path)
  for task in ("a2v", "v2a", "ks"):
    for clip, frames in enumerate((20, 12)):
      clips.write_video(tmp_path / task / f"video/{clip}.mp4", frames)
      clips.write_audio(
        tmp_path / task / f"audio/{clip}.wav", clips.tone(2 + clip, 300)
      )
  return tmp_path


def _reader(source, **settings):
  fields = {"frame_size": 28, "frame_format": "png", **settings}
  return assembly.Reader(source, configs.Preparation(**fields))


def _levels(record):
  return [clips.pixels(frame).mean() for frame in record.frames]


def _ks(video="0.mp4", audio="0.wav"):
  return {"video_path": video, "audio_path": audio, "label": "x"}


def test_a2v_puts_both_videos_behind_each_other(source):
  row = {
    "audio_path": "1.wav",
    "video1_path": "0.mp4",
    "video2_path": "1.mp4",
    "label": "x",
  }
  outcome = assembly.assemble(
    _reader(source), tasks.Tasks()["a2v"], "train", 5, row
  )
  record = outcome.record
  assert (record.id, record.status, len(record.frames)) == (
    "a2v/train/5",
    "ok",
    20,
  )
  expected = [
    *np.rint(np.linspace(0, 19, 10)),
    *np.rint(np.linspace(0, 11, 10)),
  ]
  np.testing.assert_allclose(
    _levels(record), [clips.level(index) for index in expected], atol=2.4
  )
  np.testing.assert_allclose(record.frame_seconds, np.array(expected) / 4)
  assert outcome.row["n_frames"] == [20, 12]
  assert outcome.row["duration"] == pytest.approx([5, 3])
  assert outcome.row["window_seconds"] == pytest.approx(3)


def test_v2a_puts_both_windowed_waveforms_behind_each_other(source):
  row = {
    "video_path": "0.mp4",
    "audio1_path": "1.wav",
    "audio2_path": "0.wav",
    "label": "x",
  }
  outcome = assembly.assemble(
    _reader(source), tasks.Tasks()["v2a"], "train", 0, row
  )
  found = encodings.decode_audio(outcome.record.audio)
  expected = np.concatenate([clips.tone(3, 300), clips.tone(2, 300)])
  np.testing.assert_allclose(found, expected, atol=1e-4)
  assert outcome.row["audio_seconds"] == [3, 2]
  assert len(outcome.record.frames) == 10


@pytest.mark.parametrize(
  ("split", "row", "frame", "second"),
  [("train", 1, 3, 0), ("test", 0, 2, 2)],
)
def test_an_image_task_has_one_frame_a_mask_and_its_second(
  source, split, row, frame, second
):
  rows = json.loads((source / f"s4/{split}.json").read_text())
  outcome = assembly.assemble(
    _reader(source), tasks.Tasks()["s4"], split, row, rows[row]
  )
  record = outcome.record
  assert len(record.frames) == 1
  assert _levels(record) == pytest.approx([40 * frame], abs=1)
  assert record.frame_seconds == [float(frame)]
  assert record.meta["window_index"] == second
  heard = windows.cut("one_fifth", clips.tone(5.0), second)
  found = encodings.decode_audio(record.audio)
  np.testing.assert_allclose(found, heard, atol=1e-4)
  mask = clips.pixels(record.mask) > 0
  assert mask.shape == (224, 224)
  assert mask[:112, :112].all()
  assert mask.sum() == 112 * 112


def test_a_mask_that_is_absent_is_empty_and_a_broken_one_is_bad(source):
  row = {
    "image_path": "AVS/v1s/dog/frames/0.jpg",
    "audio_path": "AVS/v1s/dog/audio.wav",
    "label_content": "x",
  }
  path = source / "s4/AVS/v1s/dog/labels_rgb/0.png"
  path.write_bytes(b"broken")
  outcome = assembly.assemble(
    _reader(source), tasks.Tasks()["s4"], "train", 0, row
  )
  assert outcome.row["status"] == "bad_image"
  path.unlink()
  outcome = assembly.assemble(
    _reader(source), tasks.Tasks()["s4"], "train", 0, row
  )
  assert outcome.record.mask == b""


def test_a_short_video_is_used_and_says_so(source):
  clips.write_video(source / "ks/video/short.mp4", 4)
  row = _ks("short.mp4")
  outcome = assembly.assemble(
    _reader(source), tasks.Tasks()["ks"], "train", 0, row
  )
  assert outcome.record.status == outcome.row["status"] == "short_video"
  assert len(outcome.record.frames) == 10
  assert outcome.row["n_frames"] == [4]


def _break(source):
  """A file of every kind of damage, beside the good ones of ks."""
  folder = source / "ks"
  clips.write_video(folder / "video/cut.mp4", 20)
  clips.cut_short(folder / "video/cut.mp4", 0.6)
  clips.write_audio(folder / "audio/cut.wav", clips.tone(1))
  clips.cut_short(folder / "audio/cut.wav")


@pytest.mark.parametrize(
  ("row", "status", "named"),
  [
    (_ks(video="no.mp4"), "missing_file", "ks/video/no.mp4"),
    (_ks(video=""), "missing_file", "video_path is empty"),
    (_ks(video="cut.mp4"), "bad_video", "ks/video/cut.mp4"),
    (_ks(audio="cut.wav"), "truncated", "ks/audio/cut.wav"),
    ({**_ks(), "label": ""}, "empty_target", "label"),
    ({"video_path": "0.mp4", "label": "x"}, "missing_key", "audio_path"),
    ("no object", "missing_key", "str"),
  ],
)
def test_what_fails_has_a_status_and_names_the_culprit(
  source, row, status, named
):
  _break(source)
  outcome = assembly.assemble(
    _reader(source), tasks.Tasks()["ks"], "train", 3, row
  )
  assert outcome.record is None
  assert outcome.row["id"] == "ks/train/3"
  assert outcome.row["status"] == status
  assert named in outcome.row["reason"]
  assert str(source) not in outcome.row["reason"]


def test_long_audio_is_cut_only_when_asked_and_reported(source):
  whole = assembly.assemble(
    _reader(source), tasks.Tasks()["ks"], "train", 0, _ks()
  )
  assert "cut_seconds" not in whole.row
  reader = _reader(source, max_audio_seconds=1.5)
  cut = assembly.assemble(reader, tasks.Tasks()["ks"], "train", 0, _ks())
  assert cut.row["cut_seconds"] == pytest.approx(0.5)
  assert len(encodings.decode_audio(cut.record.audio)) == 24_000


def test_the_settings_of_the_frames_are_used(source):
  reader = _reader(source, frame_format="jpeg", frame_size=56)
  record = assembly.assemble(
    reader, tasks.Tasks()["ks"], "train", 0, _ks()
  ).record
  assert record.frames[0].startswith(b"\xff\xd8")
  assert clips.pixels(record.frames[0]).shape == (56, 56, 3)


def test_neighbours_share_a_decoded_clip(source, monkeypatch):
  heard = []
  read = sound.read_audio
  monkeypatch.setattr(
    sound, "read_audio", lambda path: heard.append(path) or read(path)
  )
  reader = _reader(source)
  for row in range(3):
    assembly.assemble(reader, tasks.Tasks()["ks"], "train", row, _ks())
  assert reader.video.cache_info().misses == 1
  assert len(heard) == 1


def _s4(frame):
  return {
    "visual_path": f"AVS/v1s/dog/frames/{frame}.jpg",
    "audio_path": "AVS/v1s/dog/audio.wav",
    "a_obj": "dog",
    "frame_idx": 2,
  }


def test_a_missing_mask_is_counted(source):
  (source / "s4/AVS/v1s/dog/labels_rgb/3.png").unlink()
  for frame, status in ((2, "ok"), (3, "no_mask")):
    outcome = assembly.assemble(
      _reader(source), tasks.Tasks()["s4"], "test", 0, _s4(frame)
    )
    assert outcome.row["status"] == outcome.record.status == status
  assert outcome.record.mask == b""
  assert outcome.row["reason"] == "no file s4/AVS/v1s/dog/labels_rgb/3.png"


def test_a_mask_of_another_size_is_counted(source):
  place = source / "s4/AVS/v1s/dog/labels_rgb/3.png"
  with Image.open(source / "s4/AVS/v1s/dog/frames/3.jpg") as picture:
    width, height = picture.size
  for size, status in (
    ((width, height), "ok"),
    ((width // 2, height // 2), "mask_size"),
    ((height + 1, width), "mask_size"),
  ):
    Image.new("L", size, 255).save(place)
    outcome = assembly.assemble(
      _reader(source), tasks.Tasks()["s4"], "test", 0, _s4(3)
    )
    assert outcome.row["status"] == outcome.record.status == status
    assert outcome.record.mask
  assert outcome.row["reason"].startswith("s4/AVS/v1s/dog/labels_rgb/3.png has")
  assert outcome.row["reason"].endswith(f"frames/3.jpg {width} x {height}")


def _check(task, reference, question):
  """As that of the evaluation; "nothing" says that there is no object."""
  del question
  if reference["text"].endswith("x"):
    raise errors.UserError(f"{task.name}: a reference cannot be read")
  return not reference["text"].endswith("nothing")


def test_where_no_object_is_no_mask_is_missed(source):
  (source / "s4/AVS/v1s/dog/labels_rgb/3.png").unlink()
  reader = assembly.Reader(source, _reader(source).config, _check)
  row = {**_s4(3), "a_obj": "nothing"}
  outcome = assembly.assemble(reader, tasks.Tasks()["s4"], "test", 0, row)
  assert (outcome.row["status"], outcome.row["reason"]) == ("ok", "")


def test_a_reference_that_cannot_be_read_is_counted(source):
  reader = assembly.Reader(source, _reader(source).config, _check)
  ks, s4 = tasks.Tasks()["ks"], tasks.Tasks()["s4"]
  train = assembly.assemble(reader, ks, "train", 0, _ks())
  assert train.row["status"] == "ok"  # what is learnt is any text
  val = assembly.assemble(reader, ks, "val", 0, _ks(video="1.mp4"))
  assert val.row["status"] == val.record.status == "bad_reference"
  assert val.row["reason"] == "ks: a reference cannot be read"
  (source / "s4/AVS/v1s/dog/labels_rgb/3.png").unlink()
  both = assembly.assemble(reader, s4, "test", 0, {**_s4(3), "a_obj": "x"})
  assert (both.row["status"], both.row["also"]) == (
    "bad_reference",
    ["no_mask"],
  )
  assert "cannot be read; no file" in both.row["reason"]


def test_sound_that_no_model_hears_is_in_the_manifest(source):
  clips.write_audio(source / "ks/audio/long.wav", np.zeros(301 * 4000), 4000)
  outcome = assembly.assemble(
    _reader(source), tasks.Tasks()["ks"], "train", 0, _ks(audio="long.wav")
  )
  row = outcome.row
  assert row["audio_seconds"] == [301]
  assert (row["window_seconds"], row["heard_seconds"]) == (301, 300)
  short = assembly.assemble(
    _reader(source), tasks.Tasks()["ks"], "train", 0, _ks()
  )
  assert "heard_seconds" not in short.row
