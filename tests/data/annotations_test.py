import pytest

from crab_jax import errors
from crab_jax.data import annotations
from crab_jax.data import statuses
from crab_jax.data import tasks
from tests.data import clips

_VIDEO = {"video_path": "a.mp4", "audio_path": "a.mp3"}
_MATCH_A2V = {
  "audio_path": "a.mp3",
  "video1_path": "1.mp4",
  "video2_path": "2.mp4",
}
_MATCH_V2A = {
  "video_path": "v.mp4",
  "audio1_path": "1.mp3",
  "audio2_path": "2.mp3",
}
_CLIP = "AVS/v1s/dog"
_IMAGE = {
  "image_path": f"{_CLIP}/frames/3.jpg",
  "audio_path": f"{_CLIP}/audio.wav",
}
_VISUAL = {
  "visual_path": f"{_CLIP}/frames/3.jpg",
  "audio_path": f"{_CLIP}/audio.wav",
}
_REF = "REFAVS/media/dog"


def _parse(task, split, values):
  return annotations.parse(tasks.Tasks()[task], split, 7, values)


def _fails(status, task, split, values):
  with pytest.raises(statuses.RecordError) as caught:
    _parse(task, split, values)
  assert caught.value.status == status
  return caught.value.reason


@pytest.mark.parametrize(
  ("task", "values", "text"),
  [
    ("a2v", {**_MATCH_A2V, "correct_video": 2}, "<answer>2</answer>."),
    ("v2a", {**_MATCH_V2A, "correct_audio": 1}, "<answer>1</answer>."),
    ("ks", {**_VIDEO, "action": "Bowling"}, "<answer>Bowling</answer>"),
    ("ucf", {**_VIDEO, "label": "BabyCrawl"}, "<answer>babycrawl</answer>"),
    ("meld", {**_VIDEO, "Emotion": "Joy"}, "<answer>Joy</answer>."),
    ("dfew", {**_VIDEO, "emotion": "sad"}, "<answer>sad</answer>."),
    ("avqa", {**_VIDEO, "question": "how many", "answer": "two"}, "two"),
    (
      "avqa_thu",
      {**_VIDEO, "question_text": "q", "multi_choice": ["a"], "answer": "a"},
      "a",
    ),
    (
      "ave",
      {**_VIDEO, "event": "Violin, fiddle", "start_time": 0, "end_time": 9},
      "event:Violin, fiddle start_time:0 end_time:9",
    ),
    ("avvp", {**_VIDEO, "event": "Speech (0 3)"}, "Speech (0 3)"),
    (
      "arig",
      {
        **_VISUAL,
        "a_obj": "dog",
        "top_left": [1, 2],
        "bottom_right": [3, 4],
      },
      "What makes the sound is the dog, at <obj>(1,2)(3,4)</obj>",
    ),
    (
      "ref_avs",
      {
        **_VISUAL,
        "object": "The Loudest",
        "split": "test_n",
        "fid": 1,
        "frame_idx": 3,
      },
      "the loudest",
    ),
  ],
)
def test_references_of_test_rows(task, values, text):
  found = _parse(task, "test", values)
  assert found.reference["text"] == text
  assert found.target == ""
  raw = set(found.reference) - {"text"}
  assert raw == set(tasks.Tasks()[task].needs)


@pytest.mark.parametrize(
  "task", tasks.Tasks().values(), ids=lambda task: task.name
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_train_rows_need_only_what_is_used(task, split):
  media = {
    "a2v": _MATCH_A2V,
    "v2a": _MATCH_V2A,
  }.get(task.name, _IMAGE if task.visual == "image" else _VIDEO)
  values = {
    **media,
    **{key: f"Q {key}" for key in task.question_keys(split).values()},
    task.target: "Because. <answer>X</answer>.",
  }
  if task.index:
    values[task.index] = 3
  found = _parse(task.name, split, values)
  assert found.id == f"{task.name}/{split}/7"
  assert found.target == "Because. <answer>X</answer>."
  assert found.reference == {"text": found.target}
  kinds = [kind for kind, _ in found.media]
  assert kinds == [
    "audio" if key.startswith("audio") else task.visual for key in task.media
  ]
  assert found.window_index == (3 if task.index else 0)
  for key in (task.target, *media):
    rest = {k: v for k, v in values.items() if k != key}
    assert key in _fails("missing_key", task.name, split, rest)


def test_paths_lie_under_the_dataset():
  values = {**_MATCH_V2A, "label": "x"}
  assert _parse("v2a", "train", values).media == [
    ("video", "v2a/video/v.mp4"),
    ("audio", "v2a/audio/1.mp3"),
    ("audio", "v2a/audio/2.mp3"),
  ]
  values = {**_IMAGE, "label_content": "x"}
  assert _parse("s4", "train", values).media == [
    ("image", f"s4/{_CLIP}/frames/3.jpg"),
    ("audio", f"s4/{_CLIP}/audio.wav"),
  ]


def test_masks_lie_beside_the_frames():
  values = {**_IMAGE, "label_content": "x", "fid": 2}
  assert _parse("s4", "train", values).mask == f"s4/{_CLIP}/labels_rgb/3.png"
  assert _parse("arig", "train", values).mask is None
  values = {
    "image_path": f"{_REF}/frames/7.jpg",
    "audio_path": f"{_REF}/audio.wav",
    "description": "D",
    "output": "x",
    "idx": 7,
    "fid": 2,
  }
  found = _parse("ref_avs", "train", values)
  assert found.mask == "ref_avs/REFAVS/gt_mask/dog/fid_2/00007.png"
  assert found.question == {"description": "d"}
  assert found.meta == {"window_index": 7}


def test_the_second_of_s4_is_zero_in_train_only():
  values = {**_IMAGE, "label_content": "x", "frame_idx": 4}
  assert _parse("s4", "train", values).window_index == 0
  values = {**_VISUAL, "a_obj": "dog", "frame_idx": 4}
  assert _parse("s4", "test", values).window_index == 4


def test_options_stay_as_they_are():
  values = {**_VIDEO, "label": "x", "question_text": "Q", "multi_choice": [1]}
  found = _parse("avqa_thu", "train", values)
  assert found.question == {"question": "Q", "options": [1]}


def test_the_class_of_ucf_is_no_target():
  reason = _fails("missing_key", "ucf", "train", {**_VIDEO, "label": "Run"})
  assert "new_label" in reason
  found = _parse("ucf", "val", {**_VIDEO, "label": "Run", "new_label": "t"})
  assert found.reference == {"text": "t", "label": "run"}


def test_aliases_are_accepted():
  values = {**_VISUAL, "object": "O", "label_content": "x", "frame_idx": "2"}
  found = _parse("ref_avs", "train", values)
  assert found.question == {"description": "o"}
  assert (found.target, found.window_index) == ("x", 2)


def test_other_keys_become_metadata():
  values = {**_VIDEO, "label_content": "x", "vid": "v", "original_label": [3]}
  found = _parse("unav", "train", values)
  assert found.meta == {"vid": "v"}
  assert found.reference == {"text": "x", "original_label": [3]}


def test_a_test_row_of_a_set_without_test_keeps_the_keys_of_train():
  found = _parse("avcap", "test", {**_VIDEO, "label_content": "A dog."})
  assert found.reference["text"] == "A dog."


@pytest.mark.parametrize("value", ["", "  ", None, 3])
def test_bad_values_have_a_status(value):
  good = {**_VIDEO, "label": "x"}
  _fails("missing_file", "ks", "train", {**good, "video_path": value})
  _fails("empty_target", "ks", "train", {**good, "label": value})


def test_rows_that_cannot_be_read_have_a_status():
  _fails("missing_key", "ks", "train", ["no object"])
  _fails("missing_key", "ms3", "train", {**_IMAGE, "frame_idx": "x"})
  values = {**_VISUAL, "a_obj": "x", "top_left": 3, "bottom_right": [1, 2]}
  _fails("missing_key", "arig", "test", values)


@pytest.mark.parametrize(
  ("text", "named"), [('{"a": 1}', "a list"), ("[1,", "JSON"), ("", "JSON")]
)
def test_a_file_that_is_no_list_is_an_error(tmp_path, text, named):
  path = tmp_path / "train.json"
  path.write_text(text)
  with pytest.raises(errors.UserError, match=named) as caught:
    annotations.read(path)
  assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
  with pytest.raises(errors.UserError, match="cannot read"):
    annotations.read(tmp_path)  # a folder


def test_find_takes_what_is_there(tmp_path):
  clips.write_annotations(tmp_path, "s4", "test", [])
  clips.write_annotations(tmp_path, "ave", "train", [])
  clips.write_annotations(tmp_path, "ave", "val", [])
  found = annotations.find(tmp_path, tasks.Tasks())
  assert {name: list(splits) for name, splits in found.items()} == {
    "ave": ["train", "val"],
    "s4": ["test"],
  }
  assert list(annotations.find(tmp_path, tasks.Tasks(), ("s4",))) == ["s4"]


def test_find_names_what_is_wrong(tmp_path):
  with pytest.raises(errors.UserError, match="--tasks: unknown x.*a2v, v2a"):
    annotations.find(tmp_path, tasks.Tasks(), ("x",))
  with pytest.raises(errors.UserError, match="no annotations of ave"):
    annotations.find(tmp_path, tasks.Tasks(), ("ave",))
  with pytest.raises(errors.UserError, match="no annotations in"):
    annotations.find(tmp_path, tasks.Tasks())


def test_the_source_may_be_the_folder_or_its_parent(tmp_path):
  (tmp_path / "AVUIE_2").mkdir()
  assert annotations.root(tmp_path) == tmp_path / "AVUIE_2"
  assert annotations.root(tmp_path / "AVUIE_2") == tmp_path / "AVUIE_2"
  with pytest.raises(errors.UserError, match="no folder"):
    annotations.root(tmp_path / "nothing")
