"""The table of tasks: the 19 datasets of AV-UIE v2, and one's own beside them.

A task is a row (`Task`); code that differs by task reads a column of its row,
and nothing else may list the tasks, their families or their metrics. `Tasks`
is the table: `Tasks()` holds the 19, `Tasks(own)` others beside them. It is
made once, by a command, and passed down.

The 19 have the numbers 0 to 18 (`Task.stream`), which batches carry; rows of
one's own follow by name. Nothing else depends on where a row stands: the order
in which a dataset's samples are drawn comes from its `seed`.

Train and test annotations have different keys. A `val.json` (the synthetic
world writes one; AV-UIE v2 has none) has those of train.

A dataset of one's own needs no code: a task file, its annotations and media.
`--task_file=FILE` gives the file to prepare, train, evaluate, predict and
transfer. It is a JSON object, name -> row, whose keys are columns of `Task`:

  {"machine": {
    "family": "diagnosis", "kind": "label", "metric": "uar",
    "classes": ["sound", "bearing", "belt"],
    "frames": 10, "window": "tenths", "media": ["video_path", "audio_path"],
    "target": "label",
    "needs": ["fault"], "reference": "<answer>{fault}</answer>",
    "lead_in": "A video and an audio: ",
    "question": "Which fault has this machine?"}}

Its annotations are {source}/machine/train.json (with the keys of "media" and
"target"), perhaps val.json, and test.json (the keys of "media" and "needs");
its media lie in {source}/machine/video/ and {source}/machine/audio/, of a task
with an image in {source}/machine/. A name has small letters, digits and
underscores. Keys that may be left out have a default in `Task`, but for
"lead_in" and "question"; "reference" is left out where "has_test" is false.
A placeholder of the question is a key of "fields": {"question": "asked"} reads
the annotation's key "asked", and ["asked", "asked_in_test"] has one for each
kind of annotation. `task_files` names what is wrong with a file.

The rows lie beside the prepared records and in checkpoints. Commands that read
these need no --task_file; where one is given, or two of them meet, rows of one
name must be equal in every column.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from collections.abc import Mapping

from crab_jax import errors

FAMILIES = (
  "matching",
  "action",
  "emotion",
  "qa",
  "localization",
  "segmentation",
  "captioning",
)
# Forms of an answer; `evaluation.reading.answers` describes and reads them.
KINDS = ("label", "events", "place", "existence", "caption")
SPLITS = ("train", "val", "test")
# Scenes that every set asks about, row by row: held out, with the keys of test.
UNIFIED = "unified"
FACTS = "facts"  # their key for what answers of several sets state, as JSON
ALL_SPLITS = (*SPLITS, UNIFIED)
IMAGES = ("image", "visual")  # how keys of images begin
_UNREAD = ("templates",)  # columns that change nothing
_RECIPE = (
  "name",
  "frames",
  "window",
  "target",
  "reference",
  "media",
  "test_media",
  "fields",
  "index",
  "test_index",
  "lower",
  "needs",
  "keeps",
  "has_test",
  "mask",
)


@dataclasses.dataclass(frozen=True)
class Task:
  """One dataset. Keys are those of its JSON annotations."""

  name: str
  family: str  # reports group by it: of FAMILIES, or a name of one's own
  kind: str  # form of its answers, of KINDS; "existence" may ask for a place
  metric: str  # the primary one, a key of `evaluation.scoring.scores.METRICS`
  frames: int  # frames taken of each video; 1: the task has an image
  window: str  # how each audio is cut: a rule of data/windows.py
  target: str  # key of the supervision text, train
  reference: str  # format of the reference of a test record, of its keys
  media: tuple[str, ...] = ("video_path", "audio_path")  # in feeding order
  test_media: tuple[str, ...] | None = None  # None: as in train
  # (field of Record.question, key in train, key in test)
  fields: tuple[tuple[str, str, str], ...] = ()
  index: str | None = None  # key of the window's index, train; None: 0
  test_index: str | None = None
  lower: tuple[str, ...] = ()  # keys whose values are lower-cased when read
  needs: tuple[str, ...] = ()  # keys of a test record beside media, question
  keeps: tuple[str, ...] = ()  # further keys kept with the reference if there
  evaluated: bool = True  # False: a base learns from it, answers only if named
  has_test: bool = True  # it has a test.json, with the keys of test
  mask: str | None = None  # where the true mask lies: "labels" or "gt_mask"
  classes: tuple[str, ...] = ()  # all labels there are; (): not told
  synonyms: str | None = None  # group of reading/synonyms.json for its labels
  lead_in: str | None = None  # text before the media; None: a prompt file's
  question: str | None = None  # text behind them, with placeholders
  templates: tuple[str, ...] = ()  # sentences that explain a label; not read
  stream: int | None = None  # number of a built-in row; None: one's own

  @property
  def visual(self) -> str:
    """What is seen: "video" or "image"."""
    images = any(key.startswith(IMAGES) for key in self.media)
    return "image" if images else "video"

  @property
  def compares_clips(self) -> bool:
    """Whether each of its records is about several clips."""
    return len(self.media) > 2

  @property
  def candidates(self) -> str | None:
    """What it compares two of, "video" or "audio"; None: it has one clip."""
    if not self.compares_clips:
      return None
    return "video" if self.sights == 2 else "audio"

  @property
  def sounds(self) -> int:
    """Files with sound that a record is made of."""
    return sum(key.startswith("audio") for key in self.media)

  @property
  def sights(self) -> int:
    """Videos or pictures that a record is made of."""
    return len(self.media) - self.sounds

  @property
  def seed(self) -> int:
    """What the order of its samples is drawn from; see the module."""
    if self.stream is not None:
      return self.stream
    digest = hashlib.sha256(self.name.encode()).digest()
    return 2**32 + int.from_bytes(digest[:4])  # above every stream

  @property
  def order(self) -> tuple[bool, int, str]:
    """Sorts rows as the table does: built-in ones first."""
    return self.stream is None, self.stream or 0, self.name

  def recipe(self) -> dict:
    """The columns that a record depends on: other values, other bytes."""
    return {name: getattr(self, name) for name in _RECIPE}

  def media_keys(self, split: str) -> tuple[str, ...]:
    """The keys of the media files, in feeding order."""
    if split == "test" and self.test_media is not None:
      return self.test_media
    return self.media

  def question_keys(self, split: str) -> dict[str, str]:
    """Field of `Record.question` -> key of the annotation."""
    column = 2 if split == "test" else 1
    return {row[0]: row[column] for row in self.fields}

  def index_key(self, split: str) -> str | None:
    """The key of the audio window's index; None: the index is 0."""
    return self.test_index if split == "test" else self.index


@dataclasses.dataclass(frozen=True)
class Tasks(Mapping[str, Task]):
  """The table: name -> row, in the order of the numbers.

  Attributes:
    own: rows beside the built-in ones, in any order.
  """

  own: tuple[Task, ...] = ()
  _rows: dict[str, Task] = dataclasses.field(
    init=False, repr=False, compare=False
  )
  _numbers: dict[str, int] = dataclasses.field(
    init=False, repr=False, compare=False
  )

  def __post_init__(self):
    own = tuple(sorted(self.own, key=lambda task: task.order))
    object.__setattr__(self, "own", own)
    ordered = sorted((*_BUILT_IN, *self.own), key=lambda task: task.order)
    object.__setattr__(self, "_rows", {task.name: task for task in ordered})
    numbers = {task.name: number for number, task in enumerate(ordered)}
    object.__setattr__(self, "_numbers", numbers)

  def __getitem__(self, name: str) -> Task:
    return self._rows[name]

  def __iter__(self) -> Iterator[str]:
    return iter(self._rows)

  def __len__(self) -> int:
    return len(self._rows)

  def number(self, name: str) -> int:
    """What stands for a task in a batch."""
    return self._numbers[name]

  @property
  def families(self) -> tuple[str, ...]:
    """The seven of AV-UIE v2, then those of one's own by name."""
    own = {task.family for task in self.own}
    return (*FAMILIES, *sorted(own - set(FAMILIES)))

  def by_family(self, names) -> dict[str, tuple[str, ...]]:
    """Family -> those of `names` that belong to it, families in order.

    Args:
      names: of tasks; a family without any is left out.
    """
    chosen = [name for name in self if name in names]
    groups = {
      family: tuple(n for n in chosen if self[n].family == family)
      for family in self.families
    }
    return {family: own for family, own in groups.items() if own}

  def joined(self, other: "Tasks", here: str, there: str) -> "Tasks":
    """The rows of both tables.

    Args:
      other: another table.
      here, there: where this one and the other come from, for the message.

    Raises:
      UserError: both have a row of one name, and they differ.
    """
    rows = {task.name: task for task in self.own}
    for task in other.own:
      require_same(rows.setdefault(task.name, task), task, here, there)
    return Tasks(tuple(rows.values()))

  def require(self, names, what: str) -> None:
    """Raises UserError unless all names are of the table.

    Args:
      names: of tasks.
      what: names them, as in "--tasks".
    """
    if unknown := sorted(set(names) - set(self)):
      raise errors.UserError(
        f"{what}: unknown {', '.join(unknown)}; there are {', '.join(self)}"
      )


def is_test(split: str) -> bool:
  """Whether the annotations of a split have the keys of test."""
  return split in ("test", UNIFIED)


def require_same(one: Task, other: Task, here: str, there: str) -> None:
  """Raises UserError, naming task and column, unless two rows are equal.

  Args:
    one, other: rows of one name.
    here, there: where they come from, for the message.
  """
  for field in dataclasses.fields(Task):
    values = [getattr(row, field.name) for row in (one, other)]
    if values[0] != values[1] and field.name not in _UNREAD:
      said = [json.dumps(value, ensure_ascii=False) for value in values]
      raise errors.UserError(
        f'task {one.name} differs: its "{field.name}" is {said[0]} in {here},'
        f" {said[1]} in {there}"
      )


def family_order(family: str) -> tuple[int, str]:
  """Sorts families as `Tasks.families` does."""
  known = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
  return known, family


def _emotion(
  name: str, key: str, metric: str, stream: int, has_test: bool = True
) -> Task:
  return Task(
    name,
    "emotion",
    "label",
    metric,
    frames=4,
    window="four_seconds",
    target="label",
    reference="<answer>{" + key + "}</answer>." if has_test else "",
    needs=(key,),
    has_test=has_test,
    synonyms="emotion",
    stream=stream,
  )


_IMAGE = ("image_path", "audio_path")
_TEST_IMAGE = ("visual_path", "audio_path")

_BUILT_IN = (
  Task(
    "a2v",
    "matching",
    "label",
    "accuracy",
    frames=10,
    window="tenths",
    target="label",
    reference="<answer>{correct_video}</answer>.",
    media=("audio_path", "video1_path", "video2_path"),
    needs=("correct_video",),
    keeps=("audio_event", "video1_event", "video2_event"),
    synonyms="candidate",
    stream=0,
  ),
  Task(
    "v2a",
    "matching",
    "label",
    "accuracy",
    frames=10,
    window="tenths",
    target="label",
    reference="<answer>{correct_audio}</answer>.",
    media=("video_path", "audio1_path", "audio2_path"),
    needs=("correct_audio",),
    keeps=("video_event", "audio1_event", "audio2_event"),
    synonyms="candidate",
    stream=1,
  ),
  Task(
    "ks",
    "action",
    "label",
    "accuracy",
    frames=10,
    window="tenths",
    target="label",
    reference="<answer>{action}</answer>",
    needs=("action",),
    stream=2,
  ),
  Task(
    "ucf",
    "action",
    "label",
    "accuracy",
    frames=10,
    window="tenths",
    target="new_label",
    reference="<answer>{label}</answer>",
    lower=("label",),
    needs=("label",),
    stream=3,
  ),
  _emotion("meld", "Emotion", "weighted_f1", 4),
  _emotion("mer24", "discrete", "weighted_f1", 5, has_test=False),
  _emotion("cremad", "emotion", "accuracy", 6),
  _emotion("mafw", "emotion", "uar", 7),
  _emotion("dfew", "emotion", "uar", 8),
  Task(
    "avqa",
    "qa",
    "label",
    "question_accuracy",
    frames=10,
    window="sixtieths",
    target="label",
    reference="{answer}",
    fields=(("question", "question", "question"),),
    needs=("answer",),
    keeps=("type",),
    stream=9,
  ),
  Task(
    "avqa_thu",
    "qa",
    "label",
    "choice_accuracy",
    frames=10,
    window="tenths",
    target="label",
    reference="{answer}",
    fields=(
      ("question", "question_text", "question_text"),
      ("options", "multi_choice", "multi_choice"),
    ),
    needs=("answer",),
    keeps=("question_type", "question_relation"),
    stream=10,
  ),
  Task(
    "ave",
    "localization",
    "events",
    "segment_accuracy",
    frames=10,
    window="tenths",
    target="label_content",
    reference="event:{event} start_time:{start_time} end_time:{end_time}",
    needs=("event", "start_time", "end_time"),
    stream=11,
  ),
  Task(
    "unav",
    "localization",
    "events",
    "map",
    frames=10,
    window="tenths",
    target="label_content",
    reference="",
    keeps=("original_label",),
    has_test=False,
    stream=12,
  ),
  Task(
    "avvp",
    "localization",
    "events",
    "type_at_av",
    frames=10,
    window="tenths",
    target="label_content",
    reference="{event}",
    needs=("event",),
    stream=13,
  ),
  Task(
    "ms3",
    "segmentation",
    "place",
    "j",
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
    stream=14,
  ),
  Task(
    "s4",
    "segmentation",
    "place",
    "j",
    frames=1,
    window="one_fifth",
    target="label_content",
    reference="What makes the sound is the {a_obj}",
    media=_IMAGE,
    test_media=_TEST_IMAGE,
    test_index="frame_idx",
    needs=("a_obj",),
    mask="labels",
    stream=15,
  ),
  Task(
    "ref_avs",
    "segmentation",
    "existence",
    "j",
    frames=1,
    window="one_tenth",
    target="output",
    reference="{object}",
    media=_IMAGE,
    test_media=_TEST_IMAGE,
    fields=(("description", "description", "object"),),
    index="idx",
    test_index="frame_idx",
    lower=("description", "object"),
    needs=("object", "split", "fid"),
    mask="gt_mask",
    stream=16,
  ),
  Task(
    "arig",
    "segmentation",
    "place",
    "ciou",
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
    stream=17,
  ),
  Task(
    "avcap",
    "captioning",
    "caption",
    "cider",
    frames=10,
    window="tenths",
    target="label_content",
    reference="",
    has_test=False,
    stream=18,
  ),
)
