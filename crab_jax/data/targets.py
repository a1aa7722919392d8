"""The bare answer inside a target that reasons first.

AV-UIE v2 writes reasoning, then the answer in a form that a parser finds:
`<answer>..</answer>`, `<event>..</event>` and its kin, boxes and points in
square brackets. A stage with `targets="answer"` supervises only that part.
"""

import re

from crab_jax.data import tasks

_ANSWER = re.compile(r"<answer>.*?</answer>", re.DOTALL)
_TAGGED = re.compile(r"<(event|visual|audio|obj)>.*?</\1>", re.DOTALL)
_BOX = re.compile(r"\[\s*\d+(?:\s*,\s*\d+){1,3}\s*\]")
_SENTENCE_END = re.compile(r"[.!?]\s+|\n+")


def bare_answer(task: tasks.Task, target: str) -> str:
  """The part of a target that states the answer.

  The first rule that fits decides:

  1. A caption: the whole target.
  2. With `<answer>` tags: from the last of them to the last tag, box or point
     (ref_avs names object, box and points behind its tag).
  3. With other tags, boxes or points: from the first tag, or the beginning of
     the sentence of the first box or point (it names the object), whichever
     stands first, to the last of them.
  4. Else the last sentence.

  A full stop right behind the part belongs to it.
  """
  if task.kind == "caption":
    return target
  start = _start(target)
  if start is None:
    return target[_sentence_start(target, len(target.rstrip())) :].strip()
  end = max(
    match.end()
    for pattern in (_ANSWER, _TAGGED, _BOX)
    for match in pattern.finditer(target, start)
  )
  # True counts 1: the full stop behind the answer.
  return target[start : end + target[end:].startswith(".")]


def _start(target: str) -> int | None:
  """Where the answer begins; None: nothing marks it."""
  if answers := list(_ANSWER.finditer(target)):
    return answers[-1].start()
  starts = []
  if tag := _TAGGED.search(target):
    starts.append(tag.start())
  if box := _BOX.search(target):
    starts.append(_sentence_start(target, box.start()))
  return min(starts) if starts else None


def _sentence_start(text: str, position: int) -> int:
  """Where the sentence that holds `position` begins."""
  ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, position)]
  return ends[-1] if ends else 0
