"""The 19 datasets of AV-UIE v2: the one list of tasks in the product.

A task is a row of `TASKS`: which family it belongs to, under which keys its
annotations name media, target and reference, how many frames are taken and
how its audio is cut. Code that differs by task reads a column of this table;
nothing else may list the tasks.

The order is the canonical one of AV-UIE v2; a task's `number` is its place.
Train and test annotations have different keys. A `val.json` (the synthetic
world writes one; AV-UIE v2 has none) has those of train.
"""

import dataclasses

FAMILIES = (
  "matching",
  "action",
  "emotion",
  "qa",
  "localization",
  "segmentation",
  "captioning",
)
SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Task:
  """One dataset. Keys are those of its JSON annotations."""

  name: str
  family: str  # of FAMILIES
  frames: int  # frames taken of each video; 1: the task has an image
  window: str  # how each audio is cut: a rule of data/windows.py
  target: str  # key of the supervision text, train
  reference: str  # format of the reference of a test record, of its keys
  media: tuple[str, ...] = ("video_path", "audio_path")  # in feeding order
  test_media: tuple[str, ...] | None = None  # None: as in train
  # (field of Record.question, key in train, key in test)
  question: tuple[tuple[str, str, str], ...] = ()
  index: str | None = None  # key of the window's index, train; None: 0
  test_index: str | None = None
  lower: tuple[str, ...] = ()  # keys whose values are lower-cased when read
  needs: tuple[str, ...] = ()  # keys of a test record beside media, question
  keeps: tuple[str, ...] = ()  # further keys kept with the reference if there
  has_test: bool = True  # AV-UIE v2 has a test.json
  mask: str | None = None  # where the true mask lies: "labels" or "gt_mask"
  number: int = -1  # place in TASKS

  @property
  def kind(self) -> str:
    """What is seen: "video" or "image"."""
    return "image" if self.media[0] == "image_path" else "video"

  def media_keys(self, split: str) -> tuple[str, ...]:
    """The keys of the media files, in feeding order."""
    if split == "test" and self.test_media is not None:
      return self.test_media
    return self.media

  def question_keys(self, split: str) -> dict[str, str]:
    """Field of `Record.question` -> key of the annotation."""
    column = 2 if split == "test" else 1
    return {row[0]: row[column] for row in self.question}

  def index_key(self, split: str) -> str | None:
    """The key of the audio window's index; None: the index is 0."""
    return self.test_index if split == "test" else self.index


def _emotion(name: str, key: str, has_test: bool = True) -> Task:
  return Task(
    name,
    "emotion",
    frames=4,
    window="four_seconds",
    target="label",
    reference="<answer>{" + key + "}</answer>." if has_test else "",
    needs=(key,),
    has_test=has_test,
  )


_IMAGE = ("image_path", "audio_path")
_TEST_IMAGE = ("visual_path", "audio_path")

_ROWS = (
  Task(
    "a2v",
    "matching",
    frames=10,
    window="tenths",
    target="label",
    reference="<answer>{correct_video}</answer>.",
    media=("audio_path", "video1_path", "video2_path"),
    needs=("correct_video",),
    keeps=("audio_event", "video1_event", "video2_event"),
  ),
  Task(
    "v2a",
    "matching",
    frames=10,
    window="tenths",
    target="label",
    reference="<answer>{correct_audio}</answer>.",
    media=("video_path", "audio1_path", "audio2_path"),
    needs=("correct_audio",),
    keeps=("video_event", "audio1_event", "audio2_event"),
  ),
  Task(
    "ks",
    "action",
    frames=10,
    window="tenths",
    target="label",
    reference="<answer>{action}</answer>",
    needs=("action",),
  ),
  Task(
    "ucf",
    "action",
    frames=10,
    window="tenths",
    target="new_label",
    reference="<answer>{label}</answer>",
    lower=("label",),
    needs=("label",),
  ),
  _emotion("meld", "Emotion"),
  _emotion("mer24", "discrete", has_test=False),
  _emotion("cremad", "emotion"),
  _emotion("mafw", "emotion"),
  _emotion("dfew", "emotion"),
  Task(
    "avqa",
    "qa",
    frames=10,
    window="sixtieths",
    target="label",
    reference="{answer}",
    question=(("question", "question", "question"),),
    needs=("answer",),
    keeps=("type",),
  ),
  Task(
    "avqa_thu",
    "qa",
    frames=10,
    window="tenths",
    target="label",
    reference="{answer}",
    question=(
      ("question", "question_text", "question_text"),
      ("options", "multi_choice", "multi_choice"),
    ),
    needs=("answer",),
    keeps=("question_type", "question_relation"),
  ),
  Task(
    "ave",
    "localization",
    frames=10,
    window="tenths",
    target="label_content",
    reference="event:{event} start_time:{start_time} end_time:{end_time}",
    needs=("event", "start_time", "end_time"),
  ),
  Task(
    "unav",
    "localization",
    frames=10,
    window="tenths",
    target="label_content",
    reference="",
    keeps=("original_label",),
    has_test=False,
  ),
  Task(
    "avvp",
    "localization",
    frames=10,
    window="tenths",
    target="label_content",
    reference="{event}",
    needs=("event",),
  ),
  Task(
    "ms3",
    "segmentation",
    frames=1,
    window="one_fifth",
    target="label_content",
    reference="What makes the sound is the {a_obj}",
    media=_IMAGE,
    test_media=_TEST_IMAGE,
    index="frame_idx",
    test_index="frame_idx",
    needs=("a_obj",),
    mask="labels",
  ),
  Task(
    "s4",
    "segmentation",
    frames=1,
    window="one_fifth",
    target="label_content",
    reference="What makes the sound is the {a_obj}",
    media=_IMAGE,
    test_media=_TEST_IMAGE,
    test_index="frame_idx",
    needs=("a_obj",),
    mask="labels",
  ),
  Task(
    "ref_avs",
    "segmentation",
    frames=1,
    window="one_tenth",
    target="output",
    reference="{object}",
    media=_IMAGE,
    test_media=_TEST_IMAGE,
    question=(("description", "description", "object"),),
    index="idx",
    test_index="frame_idx",
    lower=("description", "object"),
    needs=("object", "split", "fid"),
    mask="gt_mask",
  ),
  Task(
    "arig",
    "segmentation",
    frames=1,
    window="fifths",
    target="label_content",
    reference=(
      "What makes the sound is the {a_obj}, at <obj>"
      "({top_left[0]},{top_left[1]})({bottom_right[0]},{bottom_right[1]})"
      "</obj>"
    ),
    media=_IMAGE,
    test_media=_TEST_IMAGE,
    needs=("a_obj", "top_left", "bottom_right"),
  ),
  Task(
    "avcap",
    "captioning",
    frames=10,
    window="tenths",
    target="label_content",
    reference="",
    has_test=False,
  ),
)

TASKS = tuple(
  dataclasses.replace(task, number=number) for number, task in enumerate(_ROWS)
)
BY_NAME = {task.name: task for task in TASKS}
