"""A user's own clip: what fits it, and the record it becomes."""

import dataclasses
import io
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import assembly
from crab_jax.data import clip as clip_lib
from crab_jax.data import encodings
from crab_jax.data import tasks
from tests.data import clips

_CONFIG = configs.Preparation(frame_size=56)
_VIDEO = pathlib.Path("v.mp4")


def _fitting(**fields) -> set[str]:
  clip = clip_lib.Clip(**fields)
  return {
    t.name for t in tasks.Tasks().values() if clip_lib.misfit(clip, t) is None
  }


def test_what_there_is_decides_what_fits():
  everything = {task.name for task in tasks.Tasks().values()} - {"a2v", "v2a"}
  asks = {"avqa", "avqa_thu", "ref_avs"}
  assert _fitting(video=_VIDEO) == everything - asks
  assert _fitting(video=_VIDEO, question="?") == everything - {"avqa_thu"}
  assert _fitting(video=_VIDEO, question="?", options=("a",)) == everything
  picture = {"image": pathlib.Path("i.jpg"), "audio": pathlib.Path("a.wav")}
  assert _fitting(**picture) == {"ms3", "s4", "arig"}
  assert _fitting(image=pathlib.Path("i.jpg")) == set()


_OTHER_VIDEO = clip_lib.Clip(video=pathlib.Path("w.mp4"))
_OTHER_AUDIO = clip_lib.Clip(audio=pathlib.Path("b.wav"))


def test_two_candidates_are_for_what_compares_two():
  whole = {"video": _VIDEO, "audio": pathlib.Path("a.wav"), "question": "?"}
  assert _fitting(**whole, other=_OTHER_VIDEO) == {"a2v"}
  assert _fitting(**whole, other=_OTHER_AUDIO) == {"v2a"}
  both = dataclasses.replace(_OTHER_VIDEO, audio=_OTHER_AUDIO.audio)
  assert _fitting(**whole, other=both) == set()
  # The sound track of a candidate would tell which one it is.
  assert _fitting(video=_VIDEO, other=_OTHER_VIDEO) == set()


@pytest.mark.parametrize(
  ("task", "fields", "why"),
  [
    ("a2v", {"video": _VIDEO}, "videos: it needs --audio and --other_video"),
    ("v2a", {"other": _OTHER_AUDIO}, "audios: it needs --video and --audio"),
    ("a2v", {"other": _OTHER_AUDIO}, "two videos, without --other_audio"),
    ("ave", {"other": _OTHER_VIDEO}, "about one clip, without --other_video"),
  ],
)
def test_what_is_missing_or_too_much_is_named(task, fields, why):
  misfit = clip_lib.misfit(clip_lib.Clip(**fields), tasks.Tasks()[task])
  assert why in misfit


@pytest.fixture
def files(tmp_path):
  clips.write_video(tmp_path / "-v.mp4", 20)
  clips.write_audio(tmp_path / "a.wav", clips.tone(10.0))
  return tmp_path


def test_a_record_follows_the_rules_of_its_task(files):
  clip = clip_lib.Clip(video=files / "-v.mp4", audio=files / "a.wav")
  meld = clip_lib.record(clip, tasks.Tasks()["meld"], _CONFIG)
  ave = clip_lib.record(clip, tasks.Tasks()["ave"], _CONFIG)
  assert (len(meld.frames), len(ave.frames)) == (4, 10)
  assert len(meld.audio) < len(ave.audio)  # four of ten seconds
  assert (meld.target, meld.reference, meld.question) == ("", {}, {})


@pytest.mark.parametrize("name", ["a2v", "v2a"])
def test_candidates_become_the_record_of_an_annotation(files, name):
  clips.write_video(files / "w.mp4", 33)
  clips.write_audio(files / "b.wav", clips.tone(6.0, 900))
  clip = clip_lib.Clip(video=files / "-v.mp4", audio=files / "a.wav")
  sight, sound = {"video_path": "-v.mp4"}, {"audio_path": "a.wav"}
  if name == "a2v":
    other = clip_lib.Clip(video=files / "w.mp4")
    sight = {"video1_path": "-v.mp4", "video2_path": "w.mp4"}
  else:
    other = clip_lib.Clip(audio=files / "b.wav")
    sound = {"audio1_path": "a.wav", "audio2_path": "b.wav"}
  task = tasks.Tasks()[name]
  said = {"correct_video": "first", "correct_audio": "first"}
  for kind, paths in (("video", sight), ("audio", sound)):
    folder = files / name / kind
    folder.mkdir(parents=True)
    for path in paths.values():
      shutil.copy(files / path, folder / path)
  made = assembly.assemble(
    assembly.Reader(files, _CONFIG), task, "test", 0, sight | sound | said
  )
  wanted = made.record
  assert wanted is not None, made.row
  found = clip_lib.record(dataclasses.replace(clip, other=other), task, _CONFIG)
  assert len(found.frames) == 10 * task.sights
  assert found.frames == wanted.frames
  assert found.frame_seconds == wanted.frame_seconds
  assert found.audio == wanted.audio


def test_a_picture_task_takes_the_middle_frame(files):
  clip = clip_lib.Clip(video=files / "-v.mp4", audio=files / "a.wav")
  found = clip_lib.record(clip, tasks.Tasks()["s4"], _CONFIG)
  assert len(found.frames) == 1
  assert found.frame_seconds[0] > 0


@pytest.mark.parametrize("task", ["s4", "ms3", "ref_avs"])
def test_the_middle_frame_is_heard_with_its_sound(files, task):
  """The pitch of second t is 500 + 300 t Hz."""
  rate = configs.SAMPLE_RATE
  seconds = [clips.tone(1.0, 500 + 300 * t) for t in range(10)]
  clips.write_audio(files / "rising.wav", np.concatenate(seconds))
  clips.write_video(files / "long.mp4", 41)  # four a second: 10 s
  clip = clip_lib.Clip(
    video=files / "long.mp4", audio=files / "rising.wav", question="?"
  )
  found = clip_lib.record(clip, tasks.Tasks()[task], _CONFIG)
  heard = encodings.decode_audio(found.audio)
  at = found.frame_seconds[0]
  assert at == pytest.approx(5.0)
  pitches = [
    np.abs(np.fft.rfft(second)).argmax()
    for second in heard.reshape(-1, rate)  # bins of 1 Hz
  ]
  assert 500 + 300 * int(at) in pitches
  assert len(pitches) == (1 if task == "ref_avs" else 2)  # tenths, fifths


def test_a_picture_has_no_second(files):
  clips.write_image(files / "i.jpg", np.zeros((40, 60, 3), np.uint8))
  wave = np.concatenate([clips.tone(2.0, 500), clips.tone(8.0, 2000)])
  clips.write_audio(files / "b.wav", wave)
  clip = clip_lib.Clip(image=files / "i.jpg", audio=files / "b.wav")
  found = clip_lib.record(clip, tasks.Tasks()["s4"], _CONFIG)
  heard = encodings.decode_audio(found.audio)
  assert np.abs(np.fft.rfft(heard)).argmax() == 2 * 500  # the first fifth


def test_its_frame_at_another_size(files):
  clip = clip_lib.Clip(video=files / "-v.mp4", audio=files / "a.wav")
  small = clip_lib.record(clip, tasks.Tasks()["s4"], _CONFIG).frames[0]
  large = clip_lib.frame(clip, tasks.Tasks()["s4"], 64)
  found = [Image.open(io.BytesIO(data)) for data in (small, large)]
  assert [picture.size for picture in found] == [(56, 56), (64, 64)]
  levels = [np.asarray(picture).mean() for picture in found]
  assert abs(levels[0] - levels[1]) < 2 < levels[0]  # the same frame


def test_a_description_is_lower_cased(files):
  clip = clip_lib.Clip(
    video=files / "-v.mp4", audio=files / "a.wav", question="The Dog"
  )
  found = clip_lib.record(clip, tasks.Tasks()["ref_avs"], _CONFIG)
  assert found.question == {"description": "the dog"}


def test_a_video_without_sound_is_an_error(files):
  clip = clip_lib.Clip(video=files / "-v.mp4")
  with pytest.raises(
    errors.UserError, match=r"bad_audio.*-v\.mp4.*--audio=FILE"
  ):
    clip_lib.record(clip, tasks.Tasks()["ave"], _CONFIG)


def test_sound_without_frames_is_an_error(files):
  clip = clip_lib.Clip(video=files / "a.wav")
  with pytest.raises(errors.UserError, match="no video stream"):
    clip_lib.record(clip, tasks.Tasks()["ave"], _CONFIG)


def test_silence_of_no_length_is_an_error(files):
  clips.write_audio(files / "empty.wav", clips.tone(0.0))
  clip = clip_lib.Clip(video=files / "-v.mp4", audio=files / "empty.wav")
  with pytest.raises(errors.UserError, match=r"empty\.wav") as caught:
    clip_lib.record(clip, tasks.Tasks()["ave"], _CONFIG)
  assert "--audio" not in str(caught.value)  # it is given
