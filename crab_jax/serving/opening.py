"""Media files of strangers to prompts; runs in a worker process.

What is looked at first is cheap: the kind of each file, its sizes, packets and
seconds. Only what is inside of the limits is decoded.
"""

import dataclasses
import functools

import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import assembly
from crab_jax.data import clip as clip_lib
from crab_jax.data import encodings
from crab_jax.data import media_cache
from crab_jax.data import prompts
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import statuses
from crab_jax.data import tasks
from crab_jax.data.media import frames as video_frames
from crab_jax.serving import asked
from crab_jax.serving import facts as facts_lib
from crab_jax.serving import failures

_KEPT = 256  # files whose facts a worker remembers
_SHARED = 256 << 20  # bytes of decoded media that the tasks of a clip share
_PREVIEW = 320  # pixels of a side of a frame for people
_VIDEO, _AUDIO, _IMAGE = "video", "audio", "image"


@dataclasses.dataclass(frozen=True)
class Medium:
  """A file of a request.

  Attributes:
    kind: "video", "audio" or "image"; None: its content tells.
    path: its name is the SHA-256 of its content.
    cut: the part that counts.
    param: where it stands in the request.
  """

  kind: str | None
  path: files.Path
  cut: video_frames.Cut
  param: str


@dataclasses.dataclass(frozen=True)
class Request:
  """What a worker is asked.

  Attributes:
    media: the files, in the order of the request.
    tasks: names of rows; (): all that fit, but not the free question.
    wording: what is asked.
    most: the longest prompt that has room.
    previews: whether frames for people are wanted.
    pictures: names of tasks whose `Prompt.picture` is wanted.
  """

  media: tuple[Medium, ...]
  tasks: tuple[str, ...]
  wording: asked.Wording
  most: samples.Lengths
  previews: bool = False
  pictures: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Prompt:
  """One task of a clip, ready for the engine.

  Attributes:
    record: of the clip.
    sample: its prompt.
    window: the rule by which its sound was cut.
    audio_seconds: of sound that the model hears.
    frame_seconds: time of each frame that it sees.
    size: width and height of the picture as it was sent; of a video too.
    tokens: kind of token, "text", "video", "audio" -> how many.
    picture: 224 x 224 and encoded, where it is wanted.
  """

  record: records.Record
  sample: samples.Sample
  window: str
  audio_seconds: float
  frame_seconds: tuple[float, ...]
  size: tuple[int, int]
  tokens: dict[str, int]
  picture: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Opened:
  """What a worker found.

  Attributes:
    prompts: by the name of their task; a failure where there is none.
    left_out: task -> why it does not fit; only where all were asked.
    previews: JPEGs of the video's frames, with their seconds.
  """

  prompts: dict[str, Prompt | failures.Failure]
  left_out: dict[str, str]
  previews: tuple[tuple[float, bytes], ...] = ()


class Opener:
  """Opens the files of requests.

  Args:
    maker: makes prompts; its table has the free question.
    limits: of media.
  """

  def __init__(self, maker: samples.SampleMaker, limits: configs.Serving):
    self._maker, self._limits = maker, limits
    size = maker.model.vision.frame_size
    self._config = configs.Preparation(frame_size=size)
    # Files never change under their names, so decoded ones may be kept.
    root = files.absolute(files.path("."))
    self._reader = assembly.Reader(root, self._config)
    look = functools.partial(facts_lib.look, limits=limits)
    self._facts = functools.lru_cache(_KEPT)(look)

  def __call__(self, request: Request) -> Opened:
    """The prompts of a request.

    Raises:
      Failure: nothing of it can be asked.
    """
    clip, size = self._clip(request)
    left_out: dict[str, str] = {}
    names = request.tasks
    if not names:
      names, left_out = self._fitting(clip)
    # What the tasks of one clip have in common is computed once.
    maker = dataclasses.replace(self._maker, cache=media_cache.Cache(_SHARED))
    found: dict[str, Prompt | failures.Failure] = {}
    for name in names:
      try:
        found[name] = self._prompt(maker, clip, name, request, size)
      except failures.Failure as failure:
        found[name] = failure
    previews = self._previews(clip) if request.previews else ()
    return Opened(found, left_out, previews)

  def _facts_of(self, medium: Medium) -> facts_lib.Facts:
    try:
      facts = self._facts(medium.path)
    except failures.Failure as failure:
      raise _named(failure, medium.param) from failure
    if medium.kind == _IMAGE and not facts.is_image:
      failures.invalid(
        "bad_media", f"{medium.param} is no picture", medium.param
      )
    if medium.kind == _VIDEO and not facts.has_video:
      failures.invalid("bad_media", f"{medium.param} is no video", medium.param)
    if medium.kind == _AUDIO and not facts.has_audio:
      failures.invalid("no_audio", f"{medium.param} has no sound", medium.param)
    return facts

  def _clip(self, request: Request) -> tuple[clip_lib.Clip, tuple[int, int]]:
    """The media as a clip, and the size of its picture."""
    kinds: dict[str, list[Medium]] = {_VIDEO: [], _AUDIO: [], _IMAGE: []}
    facts = {}
    for medium in request.media:
      facts[medium] = known = self._facts_of(medium)
      kind = medium.kind or (
        _IMAGE if known.is_image else _VIDEO if known.has_video else _AUDIO
      )
      kinds[kind].append(medium)
    videos, audios, images = kinds.values()
    table = self._maker.table
    compares = any(table[n].compares_clips for n in request.tasks or table)
    if len(videos) > 1 + compares or len(audios) > 1 + compares:
      failures.invalid(
        "unsupported_media_count",
        "two candidates are compared: two videos and two sounds at most"
        if compares
        else "one clip is asked about: one video and one sound at most",
        "messages",
      )
    self._require_sound(videos, audios, facts)
    # A free question about one picture is about a film of it.
    is_free = request.tasks == (asked.FREE,)
    several = images if not videos and (len(images) > 1 or is_free) else []
    if videos and len(images) > 1:
      failures.invalid(
        "unsupported_media_count",
        "beside a video there is one picture at most",
        images[1].param,
      )
    clip = dataclasses.replace(
      _of(videos[:1], audios[:1]),
      image=images[0].path if images and not several else None,
      question=request.wording.question,
      options=request.wording.options,
      pictures=tuple(medium.path for medium in several),
      other=_of(videos[1:], audios[1:]) if videos[1:] or audios[1:] else None,
    )
    shown = [*images, *videos]
    return clip, facts[shown[0]].size if shown else (0, 0)

  @staticmethod
  def _require_sound(videos, audios, facts) -> None:
    """Never silence in place of a sound: every prompt has one."""
    if audios or (videos and facts[videos[0]].has_audio):
      return
    what = "the video has no sound track" if videos else "there is no sound"
    failures.invalid(
      "no_audio",
      f"{what}: send the sound as a part of its own (input_audio, audio_url)",
      videos[0].param if videos else "messages",
    )

  def _fitting(
    self, clip: clip_lib.Clip
  ) -> tuple[tuple[str, ...], dict[str, str]]:
    """The tasks that fit a clip, and why others do not."""
    rows = [t for t in self._maker.table.values() if t.name != asked.FREE]
    misfits = {task.name: misfit(clip, task) for task in rows}
    left_out = {name: why for name, why in misfits.items() if why}
    return tuple(n for n, why in misfits.items() if not why), left_out

  def _prompt(
    self,
    maker: samples.SampleMaker,
    clip: clip_lib.Clip,
    name: str,
    request: Request,
    size: tuple[int, int],
  ) -> Prompt:
    task = maker.table[name]
    if why := misfit(clip, task):
      failures.invalid("misfit", f"{name}: {why}", "messages")
    try:
      record = clip_lib.record(clip, task, self._config, self._reader)
      # Tasks with the same frames and sound share what is made of them.
      sight = f"{task.visual}/{task.frames}/{task.window}/{len(task.media)}"
      record = dataclasses.replace(record, id=sight)
      picture = None
      if name in request.pictures:
        picture = clip_lib.frame(clip, task, configs.COORDINATE_SIZE)
      maker = _worded(maker, request.wording)
      record = _shortened(maker, record, request)
      sample = maker.prompt(record)
    except errors.UserError as error:
      raise _unreadable(error) from error
    except samples.SampleError as error:
      failures.invalid(_reason(error), _detail(error, name), "messages")
    return Prompt(
      record=record,
      sample=sample,
      window=task.window,
      audio_seconds=_heard(record),
      frame_seconds=tuple(record.frame_seconds),
      size=size,
      tokens=_counts(sample),
      picture=picture,
    )

  def _previews(self, clip: clip_lib.Clip) -> tuple[tuple[float, bytes], ...]:
    """Ten frames of a video, for those whose browser does not play it."""
    if clip.video is None:
      return ()
    config = configs.Preparation(frame_size=_PREVIEW, jpeg_quality=80)
    reader = assembly.Reader(files.absolute(files.path(".")), config)
    try:
      video = reader.video(str(clip.video), 10, clip.video_cut)
    except statuses.RecordError:
      return ()  # the prompts say why
    return tuple(zip(video.seconds, video.frames, strict=True))


def _of(videos: list[Medium], audios: list[Medium]) -> clip_lib.Clip:
  """A clip of one video and one sound at most."""
  return clip_lib.Clip(
    video=videos[0].path if videos else None,
    audio=audios[0].path if audios else None,
    video_cut=videos[0].cut if videos else video_frames.WHOLE,
    audio_cut=audios[0].cut if audios else video_frames.WHOLE,
  )


# The words of `clip.misfit` are those of predict's flags.
_FLAGS = ("--audio", "--video", "--image", "--question", "--options")


def misfit(clip: clip_lib.Clip, task: tasks.Task) -> str | None:
  """What a clip lacks for a task, in the words of a request."""
  why = clip_lib.misfit(clip, task)
  if why is None:
    return None
  for flag in _FLAGS:
    why = why.replace(flag, flag.removeprefix("--"))
  return why.replace("--other_", "a second ")


def _named(failure: failures.Failure, param: str) -> failures.Failure:
  """A failure that names the part of the request."""
  return failures.Failure(
    failure.status, failure.code, f"{param} {failure.message}", param
  )


def _worded(
  maker: samples.SampleMaker, wording: asked.Wording
) -> samples.SampleMaker:
  """A maker with the system message of the request."""
  if wording.system is None:
    return maker
  said = prompts.Prompts(wording.system, maker.prompts.tasks)
  return dataclasses.replace(maker, prompts=said)


def _shortened(
  maker: samples.SampleMaker, record: records.Record, request: Request
) -> records.Record:
  """The record with as many earlier turns before its question as fit.

  Raises:
    Failure: even without them it is too long.
  """
  history = request.wording.history
  for first in range(len(history) + 1):
    turns = [*history[first:]]
    asking = _with_history(record, turns)
    try:
      lengths = maker.prompt_lengths(asking)
    except samples.SampleError as error:
      if error.reason == "too_long" and turns:
        continue
      raise
    if lengths.fits(request.most):
      return asking
  raise failures.Failure(
    400,
    "too_long",
    f"the prompt has {lengths.tokens} tokens, {lengths.pairs} frame pairs and"
    f" {lengths.chunks} chunks of sound; there is room for"
    f" {request.most.tokens}, {request.most.pairs} and {request.most.chunks}:"
    " cut the clip with start and end, or start the server with more"
    " --prompt_tokens",
    "messages",
  )


def _with_history(record: records.Record, turns) -> records.Record:
  if not turns:
    return record
  lines = [f"{turn.role}: {turn.text}" for turn in turns]
  question = "\n".join([*lines, f"user: {record.question['question']}"])
  return dataclasses.replace(
    record, question={**record.question, "question": question}
  )


def _unreadable(error: errors.UserError) -> failures.Failure:
  """A file that does not decode."""
  cause = error.__cause__
  reason = cause.reason if isinstance(cause, statuses.RecordError) else error
  code = "bad_media"
  if "no audio stream" in str(reason):
    code = "no_audio"
  return failures.Failure(
    400, code, facts_lib.without_paths(str(reason)), "messages"
  )


def _reason(error: samples.SampleError) -> str:
  codes = {"too_long": "too_long", "bad_question": "bad_question"}
  return codes.get(error.reason, "bad_media")


def _detail(error: samples.SampleError, name: str) -> str:
  return f"{name}: {error}"


def _heard(record: records.Record) -> float:
  heard = encodings.audio_samples(record.audio)
  return min(heard, configs.HEARD_SAMPLES) / configs.SAMPLE_RATE


def _counts(sample: samples.Sample) -> dict[str, int]:
  """Tokens of a prompt by kind."""
  counts = np.bincount(sample["kinds"], minlength=len(array_types.TokenKind))
  video = int(counts[array_types.TokenKind.VISION])
  audio = int(counts[array_types.TokenKind.AUDIO])
  text = int(counts.sum()) - video - audio
  return {"text": text, "video": video, "audio": audio}
