"""From a record to a sample: everything a model needs of one clip, in numpy.

A `Sample` is a dict:

  tokens       int32[T]              token ids
  labels       int32[T]              the token itself where it is supervised
                                     (not yet shifted), else -100
  positions    int32[T, 3]           time, row, column
  kinds        uint8[T]              `TokenKind`
  frames       uint8[pairs, 2, H, W, 3]
  mel          float32[chunks, unit_frames, M]  audio units
  mel_lengths  int32[chunks]         valid mel frames of each chunk
  task         int                   `Tasks.number`
  row          int                   row in the annotation

It does not depend on the shape of a row: packing comes later.
"""

import dataclasses
from collections.abc import Iterable
from collections.abc import Iterator
from typing import TypedDict

import numpy as np

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import conversation
from crab_jax.data import encodings
from crab_jax.data import grammar as grammars
from crab_jax.data import media_cache
from crab_jax.data import positions
from crab_jax.data import prompts
from crab_jax.data import records
from crab_jax.data import targets
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.data import windows
from crab_jax.paradigms import front


class Sample(TypedDict):
  """See the module."""

  tokens: np.ndarray
  labels: np.ndarray
  positions: np.ndarray
  kinds: np.ndarray
  frames: np.ndarray
  mel: np.ndarray
  mel_lengths: np.ndarray
  task: int
  row: int


class SampleError(Exception):
  """A record cannot become a sample.

  Attributes:
    reason: a short name to count under: bad_audio, bad_image, bad_question,
      empty_target, short_audio, bad_record, too_long.
  """

  def __init__(self, reason: str, detail: str):
    super().__init__(f"{reason}: {detail}")
    self.reason = reason


@dataclasses.dataclass(frozen=True)
class Lengths:
  """What a sample takes of a row."""

  tokens: int
  pairs: int
  chunks: int

  def fits(self, room: "Lengths") -> bool:
    """Whether none of them is more than there is room for."""
    pairs = zip(
      dataclasses.astuple(self), dataclasses.astuple(room), strict=True
    )
    return all(own <= most for own, most in pairs)


@dataclasses.dataclass(frozen=True)
class SampleMaker:
  """Makes samples of records.

  Attributes:
    chat: renders and tokenizes.
    table: the tasks.
    prompts: their wording.
    model: the sizes of frames, patches, chunks.
    data: how positions count time.
    targets: "reasoning": the whole target; "answer": only the bare answer.
    cache: keeps decoded media for makers of one model, or None.
  """

  chat: conversation.Chat
  table: tasks.Tasks
  prompts: prompts.Prompts
  model: configs.Model
  data: configs.Data
  targets: str = "reasoning"
  cache: media_cache.Cache | None = None

  def train(self, record: records.Record) -> Sample:
    """A sample with the record's target as answer.

    Raises:
      SampleError: media do not decode, the target is empty, or all of it is
        longer than the model's context.
    """
    task = self.table[record.task]
    answer = record.target
    if self.targets == "answer":
      answer = targets.bare_answer(task, answer)
    if not answer.strip():
      raise SampleError("empty_target", f"{record.id} has no target")
    return self._make(record, answer)

  def prompt(self, record: records.Record) -> Sample:
    """A sample that ends where the model's answer begins.

    Raises:
      SampleError: media do not decode, or the prompt is longer than the
        model's context.
    """
    return self._make(record, None)

  def prompt_lengths(self, record: records.Record) -> Lengths:
    """The lengths of `prompt(record)`, without decoding media.

    Raises:
      SampleError: the audio has no readable header, or the prompt is longer
        than the model's context.
    """
    samples = _try("bad_audio", record, encodings.audio_samples, record.audio)
    pieces = audio_pieces(self.table[record.task])
    chunks = self.model.audio.unit_lengths(samples, pieces)
    encoded = self._encode(record, chunks, None)
    pairs = self.model.vision.units_of(len(record.frames))
    return Lengths(len(encoded.tokens), pairs, len(chunks))

  def wording(self, record: records.Record) -> str:
    """What the model is asked, for people: "A video: [video] What is it?".

    Raises:
      SampleError: the record lacks a field that the question needs.
    """
    prompt = self.prompts.tasks[record.task]
    question = _try("bad_question", record, prompt.ask, record.question)
    media = [f"[{kind}] " for kind in media_order(self.table[record.task])]
    return "".join([prompt.lead_in, *media, question])

  @property
  def _front(self) -> front.Front:
    return front.of(self.model)

  def _make(self, record: records.Record, answer: str | None) -> Sample:
    media = self._media(record)
    encoded = self._encode(record, media.mel_lengths.tolist(), answer)
    return {
      "tokens": encoded.tokens,
      "labels": encoded.labels,
      "kinds": encoded.kinds,
      "positions": self._front.positions(
        encoded.runs,
        self._seconds_per_unit(record),
        self._position_rate,
      ),
      "frames": media.frames,
      "mel": media.mel,
      "mel_lengths": media.mel_lengths,
      "task": self.table.number(record.task),
      "row": record.row,
    }

  def _media(self, record: records.Record) -> media_cache.Media:
    if self.cache is None:
      return self._decode(record)
    return self.cache.get(record.id, lambda: self._decode(record))

  def _decode(self, record: records.Record) -> media_cache.Media:
    wave = _try("bad_audio", record, encodings.decode_audio, record.audio)
    decode, vision = self._front.vision_units, self.model.vision
    seen = _try("bad_image", record, decode, record.frames, vision)
    pieces = audio_pieces(self.table[record.task])
    heard, lengths = self._front.audio_units(wave, self.model.audio, pieces)
    return media_cache.Media(seen, heard, lengths)

  def _encode(
    self, record: records.Record, heard: list[int], answer: str | None
  ) -> conversation.Encoded:
    """Tokenizes the conversation about a record.

    Args:
      record: the record.
      heard: frames of each of its audio units.
      answer: of the assistant; None: a prompt.
    """
    vision, hearing = self.model.vision, self.model.audio
    audio = sum(map(hearing.tokens_of, heard))
    if not audio:
      raise SampleError(
        "short_audio", f"{record.id}: its sound is too short for a token"
      )
    pairs, grid = vision.units_of(len(record.frames)), vision.token_grid
    task = self.table[record.task]
    clips = {
      "audio": conversation.Media("audio", audio),
      # A family without a grid of tokens has none here: positions count up.
      task.visual: conversation.Media(
        task.visual, pairs * vision.unit_tokens, grid and (pairs, *grid)
      ),
    }
    prompt = self.prompts.tasks[record.task]
    question = _try("bad_question", record, prompt.ask, record.question)
    items = [prompt.lead_in, *(clips[k] for k in media_order(task)), question]
    encoded = self.chat.encode(self.prompts.system, items, answer)
    length, context = len(encoded.tokens), self.model.decoder.context
    if length > context:
      raise SampleError(
        "too_long",
        f"{record.id} has {length} tokens, the context of the model {context}",
      )
    return encoded

  @property
  def _position_rate(self) -> float:
    """Rope positions a second of video: as set, else as the base was made."""
    for chosen in (
      self.data.positions_per_second,
      self.model.positions_per_second,
    ):
      if chosen is not None:
        return chosen
    return positions.PER_SECOND

  def _seconds_per_unit(self, record: records.Record) -> float:
    if self.data.true_seconds:
      seconds = positions.clip_seconds_per_unit(
        record.frame_seconds, self.model.vision.unit_frames
      )
      if seconds is not None:
        return seconds
    return self.data.seconds_per_pair


def _try(reason: str, record: records.Record, function, *arguments):
  """Calls a function; its ValueError becomes a SampleError with the id."""
  try:
    return function(*arguments)
  except ValueError as error:
    raise SampleError(reason, f"{record.id}: {error}") from error


def media_order(task: tasks.Task) -> list[str]:
  """Kinds of the clips of a task in feeding order; equal ones are merged."""
  kinds = [
    "audio" if key.startswith("audio") else task.visual for key in task.media
  ]
  # Two candidates become one clip, one behind the other.
  return list(dict.fromkeys(kinds))


def audio_pieces(task: tasks.Task) -> int:
  """Equal parts that the sound of a task's records is made of."""
  return windows.PIECES[task.window] * task.sounds


def sample_maker(
  tokenizer: tokenizers.Tokenizer,
  data: configs.Data,
  model: configs.Model,
  table: tasks.Tasks,
  targets: str = "reasoning",
  cache: media_cache.Cache | None = None,
) -> SampleMaker:
  """The sample maker of a configuration; reads prompts and chat template.

  Raises:
    UserError: a file is missing or wrong, or the tokenizer has more entries
      than the model's embedding table.
  """
  # The lookup clips: an id beyond the table would read its last row.
  if tokenizer.size > model.decoder.ids:
    raise errors.UserError(
      f"the tokenizer has ids up to {tokenizer.size - 1}, but"
      f" Decoder.vocabulary={model.decoder.vocabulary}"
    )
  template = None
  if data.chat_template is not None:
    template = conversation.load_template(data.chat_template)
  chat = conversation.Chat(tokenizer, template)
  wording = prompts.load(data.prompts, table)
  return SampleMaker(chat, table, wording, model, data, targets, cache)


def training_texts(
  source: Iterable[records.Record],
  wording: prompts.Prompts,
  grammar: grammars.Grammar,
) -> Iterator[str]:
  """The texts of records, role words included, to train a tokenizer on."""
  for record in source:
    prompt = wording.tasks[record.task]
    yield f"{grammar.words('system')}{wording.system}"
    yield f"{grammar.words('user')}{prompt.lead_in}"
    yield prompt.ask(record.question)
    yield from grammar.clip_words()
    yield f"{grammar.words('assistant')}{record.target}"
