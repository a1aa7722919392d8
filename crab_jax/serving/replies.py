"""Answers as OpenAI's clients read them, with our own beside: `crab`."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from crab_jax import configs
from crab_jax.data import targets
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import vocabulary
from crab_jax.serving import asked
from crab_jax.serving import opening
from crab_jax.serving import protocol
from crab_jax.serving import streaming


@dataclasses.dataclass(frozen=True)
class Answer:
  """One answer of the model.

  Attributes:
    task: the row that asked.
    text: what the model said.
    finish: "stop" or "length".
    prompt: what was asked.
    new_tokens: of the answer.
    cached_tokens: of the prompt that were not computed anew.
    seconds: from arrival to the end.
    gates: the router's gates along it, or None.
    mask: what it points at, a run-length code of 224 x 224 pixels, or None.
  """

  task: tasks.Task
  text: str
  finish: str
  prompt: opening.Prompt
  new_tokens: int
  cached_tokens: int
  seconds: float
  gates: dict | None = None
  mask: dict | None = None


def parsed(answer: Answer) -> answers.Answer:
  """What an answer says."""
  options = answer.prompt.record.question.get("options")
  known = vocabulary.of_options(tuple(options)) if options else None
  return answers.parse(answer.task, answer.text, known)


def crab(answer: Answer) -> dict[str, Any]:
  """The structure of an answer, and what it was made from."""
  read, prompt = parsed(answer), answer.prompt
  said = read.to_json()
  if read.box and all(prompt.size):
    said["box_pixels"] = box_pixels(read.box, prompt.size)
  bare = targets.bare_answer(answer.task, answer.text)
  reasoning, _ = split(answer.text, bare)
  value = {
    "task": None if answer.task.name == asked.FREE else answer.task.name,
    "answer": said,
    "reasoning": reasoning,
    "failure": read.failure,
    "mask": answer.mask,
    "heard": {
      "audio_seconds": round(prompt.audio_seconds, 3),
      "window": prompt.window,
    },
    "seen": {
      "frames": len(prompt.frame_seconds),
      "seconds": [round(x, 3) for x in prompt.frame_seconds],
      "size": list(prompt.size),
    },
    "seconds": round(answer.seconds, 3),
  }
  return value if answer.gates is None else {**value, "gates": answer.gates}


def split(text: str, bare: str) -> tuple[str, str]:
  """The reasoning and the answer of a text."""
  start = text.rfind(bare) if bare else len(text)
  return text[:start].strip(), text[start:].strip()


def box_pixels(box: Sequence[int], size: tuple[int, int]) -> list[float]:
  """A box of the 224 grid in a picture of another size.

  Args:
    box: x1, y1, x2, y2, both corners inside.
    size: width and height in pixels.

  Returns:
    The corners' outer edges, in pixels.
  """
  scales = [length / configs.COORDINATE_SIZE for length in size]
  edges = (box[0], box[1], box[2] + 1, box[3] + 1)
  return [
    round(edge * scale, 2)
    for edge, scale in zip(edges, 2 * scales, strict=True)
  ]


def usage(
  prompt: opening.Prompt, new_tokens: int, cached_tokens: int
) -> dict[str, Any]:
  """The counts of tokens of an answer."""
  count = sum(prompt.tokens.values())
  return {
    "prompt_tokens": count,
    "completion_tokens": new_tokens,
    "total_tokens": count + new_tokens,
    "prompt_tokens_details": {
      **{f"{kind}_tokens": n for kind, n in prompt.tokens.items()},
      "cached_tokens": cached_tokens,
    },
  }


def usage_of(answer: Answer) -> dict[str, Any]:
  return usage(answer.prompt, answer.new_tokens, answer.cached_tokens)


def model_name(task: tasks.Task) -> str:
  """The name under which a row is asked."""
  if task.name == asked.FREE:
    return protocol.MODEL
  return f"{protocol.MODEL}:{task.name}"


def completion(name: str, answer: Answer, split_reasoning: bool) -> dict:
  """The reply to a chat request that does not stream.

  Args:
    name: "chatcmpl-...".
    answer: the answer.
    split_reasoning: whether the reasoning is kept apart.
  """
  message: dict[str, Any] = {"role": "assistant", "content": answer.text}
  if split_reasoning:
    bare = targets.bare_answer(answer.task, answer.text)
    message["reasoning_content"], message["content"] = split(answer.text, bare)
  message["crab"] = crab(answer)
  return {
    "id": name,
    "object": "chat.completion",
    "created": int(time.time()),
    "model": model_name(answer.task),
    "choices": [
      {
        "index": 0,
        "finish_reason": answer.finish,
        "logprobs": None,
        "message": message,
      }
    ],
    "usage": usage_of(answer),
  }


class Chunks:
  """The chunks of a chat request that streams.

  Args:
    name: "chatcmpl-...".
    task: the row that asks.
    split_reasoning: whether the reasoning is kept apart.
  """

  def __init__(self, name: str, task: tasks.Task, split_reasoning: bool):
    self._name, self._task = name, task
    self._created, self._is_first = int(time.time()), True
    is_caption = task.kind == "caption"
    self._splitter = (
      streaming.Splitter(lambda text: targets.bare_answer(task, text))
      if split_reasoning and not is_caption
      else None
    )

  def text(self, piece: str, counts: dict | None = None) -> list[dict]:
    """The chunks of a piece of text.

    Args:
      piece: not empty.
      counts: the usage so far, if every chunk has it.
    """
    if self._splitter is None:
      return [self._chunk({"content": piece}, counts)]
    return self._pieces(self._splitter.add(piece), counts)

  def finish(self, answer: Answer, counts: dict | None = None) -> list[dict]:
    """The last chunks with a choice."""
    rest = self._splitter.finish() if self._splitter else []
    chunks = self._pieces(rest, counts)
    end = self._chunk({}, counts, answer.finish)
    end["choices"][0]["delta"]["crab"] = crab(answer)
    return [*chunks, end]

  def usage(self, answer: Answer) -> dict:
    """The chunk behind the last one that holds the counts alone."""
    return {**self._chunk({}, usage_of(answer)), "choices": []}

  def _pieces(self, pieces, counts) -> list[dict]:
    names = {True: "reasoning_content", False: "content"}
    return [
      self._chunk({names[piece.is_reasoning]: piece.text}, counts)
      for piece in pieces
    ]

  def _chunk(
    self, delta: dict, counts: dict | None, finish: str | None = None
  ) -> dict:
    # The role comes with the first text: a chunk before would be taken for
    # the first token.
    if self._is_first:
      delta, self._is_first = {"role": "assistant", **delta}, False
    choice = {
      "index": 0,
      "delta": delta,
      "logprobs": None,
      "finish_reason": finish,
    }
    chunk = {
      "id": self._name,
      "object": "chat.completion.chunk",
      "created": self._created,
      "model": model_name(self._task),
      "choices": [choice],
    }
    return chunk if counts is None else {**chunk, "usage": counts}
