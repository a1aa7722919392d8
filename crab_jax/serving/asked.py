"""What a request asks, once it is parsed: a clip, a question, how to answer."""

import dataclasses

from crab_jax.data import tasks
from crab_jax.serving import uploads

# The row of the table that asks what the user asks. Its name sorts behind those
# of all own tasks, so that it moves the number of none.
FREE = "~free_question"


@dataclasses.dataclass(frozen=True)
class Source:
  """Where a medium is. One field is set.

  Attributes:
    data: its bytes.
    file_id: of an uploaded file.
    url: https:// or file://.
    blob: a file of the store.
  """

  data: bytes | None = None
  file_id: str | None = None
  url: str | None = None
  blob: uploads.Blob | None = None


@dataclasses.dataclass(frozen=True)
class Part:
  """A medium of a request.

  Attributes:
    kind: "video", "audio" or "image"; None: its content tells.
    source: where it is.
    start, end: seconds between which it counts; None: from the first, to the
      last.
    param: where it stands in the request.
  """

  kind: str | None
  source: Source
  start: float | None
  end: float | None
  param: str


@dataclasses.dataclass(frozen=True)
class Turn:
  """An earlier turn of the conversation, without media."""

  role: str  # "user" or "assistant"
  text: str


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How one answer is decoded. The defaults are greedy.

  Attributes:
    max_new_tokens: None: as many as the server allows.
    seed: None: another draw each time.
    stop: strings that end the answer; they are no part of it.
    ignore_eos: goes on to the limit, for measurements.
  """

  max_new_tokens: int | None = None
  temperature: float = 0.0
  top_p: float = 1.0
  top_k: int = 0
  seed: int | None = None
  repetition_penalty: float = 1.0
  stop: tuple[str, ...] = ()
  ignore_eos: bool = False


@dataclasses.dataclass(frozen=True)
class Wording:
  """What is asked about a clip.

  Attributes:
    question: the user's; None: the task has its own.
    options: of a question with a choice.
    history: earlier turns, oldest first.
    system: replaces ours; None: ours.
  """

  question: str | None = None
  options: tuple[str, ...] = ()
  history: tuple[Turn, ...] = ()
  system: str | None = None


@dataclasses.dataclass(frozen=True)
class Asked:
  """One request about one clip.

  Attributes:
    tasks: names of the rows to ask, at least one.
    parts: the media.
    wording: the question.
    sampling: how answers are decoded.
    gates: whether the router's gates along the answers are wanted.
    stream: whether the answer is sent as it is made.
    include_usage: whether a stream ends with the counts of tokens.
    continuous_usage: whether every piece of it has them.
    split_reasoning: whether the reasoning is kept apart from the answer.
    ignored: keys of the request that nothing reads.
  """

  tasks: tuple[str, ...]
  parts: tuple[Part, ...]
  wording: Wording = Wording()
  sampling: Sampling = Sampling()
  gates: bool = False
  stream: bool = False
  include_usage: bool = False
  continuous_usage: bool = False
  split_reasoning: bool = False
  ignored: tuple[str, ...] = ()


def with_free_question(table: tasks.Tasks) -> tasks.Tasks:
  """A table with a row that asks the user's own question about a clip."""
  row = tasks.Task(
    FREE,
    family="captioning",
    kind="caption",
    metric="cider",
    frames=10,
    window="tenths",
    target="",
    reference="",
    fields=(("question", "question", "question"),),
    has_test=False,
    lead_in="A video and an audio: ",
    question="{question}",
  )
  return tasks.Tasks((*table.own, row))
