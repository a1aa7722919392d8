"""From the text of an answer to its structure, for every format of AV-UIE v2.

The form of a task's answers is its `Task.kind`:

  label       `<answer>X</answer>`: the last complete pair wins. Of AV-UIE v2
              the matching, action, emotion and QA sets.
  events      labels with intervals of seconds, see `intervals`. Localization
              sets.
  place       a box and points, see `coordinates`. Segmentation sets.
  existence   `<answer>true</answer>` or `<answer>false</answer>`; of a task
              with masks (`Task.mask`), "true" in front of a place. Ref-AVS.
  caption     the text itself. Captioning.

Nothing that a text says vanishes. Each thing is read as its format has it; or
in another spelling, where the meaning is beyond doubt, which `Answer.leniency`
names; or it is not read: `Answer.unread` names parts of an answer,
`Answer.failure` says why there is none. The scorers count all three, and a
failure as wrong. Text after `</s>` is cut. No text raises. Every function is
linear in the length of the text: patterns have bounded repeats.
"""

import dataclasses
import re

from crab_jax.data import tasks
from crab_jax.evaluation.reading import characters
from crab_jax.evaluation.reading import coordinates
from crab_jax.evaluation.reading import intervals
from crab_jax.evaluation.reading import label_text
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.reading import vocabulary

_LABEL_LIMIT = 200  # characters; a longer label is not a label
_UNTAGGED_WORDS = 4  # an answer without tags may have so many words
_EDGE = " \t\r\n.\"'"  # what belongs to the sentence around a label

_GAP = r"\s{0,4}"
_ANSWER_TAG = re.compile(
  rf"<{_GAP}(/?){_GAP}answer{_GAP}>", re.IGNORECASE | re.ASCII
)
_ENDS = ("</s>", "<|im_end|>")
_SENTENCE_END = re.compile(r"[.,;!\n]")


@dataclasses.dataclass(frozen=True)
class Answer:
  """What a text says. Only the fields of its kind are set."""

  kind: str  # "label", "events", "place", "existence" or "caption"
  label: str | None = None
  events: tuple[intervals.Event, ...] = ()
  exists: bool | None = None
  box: coordinates.Box | None = None
  points: tuple[coordinates.Point, ...] = ()
  caption: str | None = None
  failure: str | None = None  # why it could not be read
  leniency: tuple[str, ...] = ()  # names of the leniency that it needed
  unread: tuple[str, ...] = ()  # a name for each part that could not be read

  def to_json(self) -> dict:
    """The fields that say something, as plain JSON values."""
    # False is left out with what is empty: `exists` is put back below.
    said = {name: value for name, value in vars(self).items() if value}
    if self.exists is not None:
      said["exists"] = self.exists
    if self.events:
      said["events"] = [dict(vars(event)) for event in self.events]
    return said


def parse(
  task: tasks.Task, text: str | None, known: vocabulary.Known | None = None
) -> Answer:
  """Reads the answer of a task; never raises for any text.

  Args:
    task: its row of the table of tasks.
    text: what the model said; None: nothing.
    known: whether a text is a label of the task; None: nobody tells.
  """
  if text is None:
    return Answer(task.kind, failure="missing")
  text = cut(text)
  if not text.strip():
    return Answer(task.kind, failure="empty")
  answer = _parse(task, text, known)
  plain = characters.plain(text)
  if plain == text or task.kind == "caption":
    return answer
  read = _parse(task, plain, known)
  if read == answer:
    return answer
  return _with(read, {"character_forms"})


def _parse(
  task: tasks.Task, text: str, known: vocabulary.Known | None
) -> Answer:
  if task.kind == "label":
    return parse_label(text, known)
  if task.kind == "existence":
    return parse_existence(text, placed=task.mask is not None)
  return _PARSERS[task.kind](text)


def _with(
  answer: Answer, leniency: set[str], unread: tuple[str, ...] = ()
) -> Answer:
  """The answer with more leniency and more that was not read."""
  return dataclasses.replace(
    answer,
    leniency=tuple(sorted({*answer.leniency, *leniency})),
    unread=(*answer.unread, *unread),
  )


def cut(text: str) -> str:
  """The text before the first end-of-sequence mark that leaked into it."""
  for end in _ENDS:
    text = text.split(end, 1)[0]
  return text


def parse_label(text: str, known: vocabulary.Known | None = None) -> Answer:
  """Reads `<answer>X</answer>`, the last complete pair.

  Args:
    text: not blank.
    known: whether a text is a label of the task. Without tags only such a
      text is read, or what it wraps; inside of tags it is taken as it is.
      None: without tags any few words are a label.
  """
  tagged = _tagged(text)
  if tagged is not None:
    return _with(_label(tagged.content, known), tagged.leniency, tagged.unread)
  bare = _ANSWER_TAG.sub(" ", text)  # closing tags that nothing opened
  stray = {"unopened"} if bare != text else set()
  answer = _untagged_label(bare, known)
  return answer if answer.failure else _with(answer, stray)


def _few_words(text: str) -> bool:
  return 0 < len(text.split()) <= _UNTAGGED_WORDS


def _label(content: str, known: vocabulary.Known | None) -> Answer:
  """The label in what tags enclose."""
  label, wrappings = content.strip(_EDGE), set[str]()
  if len(label) <= _LABEL_LIMIT and not (known and known(label)):
    bare, names = label_text.unwrap(label)
    if known is None or known(bare):
      label, wrappings = bare, names
  if not labels.key(label):
    return Answer("label", failure="empty")
  if len(label) > _LABEL_LIMIT:
    return Answer("label", failure="too_long")
  return _with(Answer("label", label=label), wrappings)


def _untagged_label(text: str, known: vocabulary.Known | None) -> Answer:
  """The label of a text that is one, or that boxes one."""
  boxes = {
    labels.key(inside): inside
    for inside in (label_text.unwrap(b)[0] for b in label_text.boxed(text))
    if inside
  }
  if len(boxes) > 1:
    return Answer("label", failure="several_answers")
  if boxes:
    (inside,) = boxes.values()
    return _with(_label(inside, known), {"boxed"})
  label, wrappings = text.strip(_EDGE), set[str]()
  if not (known and known(label)):
    label, wrappings = label_text.unwrap(text)
  is_label = (known or _few_words)(label)
  if is_label and labels.key(label) and len(label) <= _LABEL_LIMIT:
    return _with(Answer("label", label=label), {"untagged", *wrappings})
  return Answer("label", failure="no_answer")


@dataclasses.dataclass(frozen=True)
class _Tagged:
  """The content of the answer tags that count."""

  content: str
  leniency: set[str]
  unread: tuple[str, ...] = ()


def _tagged(text: str) -> _Tagged | None:
  """The content of the last pair of answer tags; None: no tag opens."""
  pairs, opening = [], None
  for tag in _ANSWER_TAG.finditer(text):
    if not tag[1]:
      opening = tag
    elif opening is not None:
      pairs.append((opening, tag))
      opening = None
  if pairs:
    first, last = pairs[-1]
    content = text[first.end() : last.start()]
    plain = first[0] == "<answer>" and last[0] == "</answer>"
    others = {labels.key(text[a.end() : b.start()]) for a, b in pairs[:-1]}
    unread = ("earlier_answer",) * len(others - {labels.key(content)})
    return _Tagged(content, set() if plain else {"tag_style"}, unread)
  if opening is not None:  # cut off, or never closed: up to the line's end
    content = text[opening.end() :].lstrip()
    return _Tagged(re.split(r"[<\n]", content, maxsplit=1)[0], {"unclosed"})
  return None


def parse_events(text: str) -> Answer:
  """Reads `<event>`, `<visual>` and `<audio>` blocks."""
  leniency, unread = set[str](), list[str]()
  events, failure = intervals.read(text, leniency, unread)
  answer = Answer("events", events=tuple(events), failure=failure)
  return _with(answer, leniency, tuple(unread))


def parse_place(text: str) -> Answer:
  """Reads the box and the last three points."""
  leniency, unread = set[str](), list[str]()
  place = coordinates.read(text, leniency, unread)
  answer = Answer(
    "place", box=place.box, points=place.points, failure=place.failure
  )
  return _with(answer, leniency, tuple(unread))


def parse_existence(text: str, placed: bool = True) -> Answer:
  """Reads true or false, and the place where it is true.

  Args:
    text: not blank.
    placed: whether the answer must say where; else a place is read if there
      is one.
  """
  said = _existence(text)
  if said.exists is None:
    return said
  place = parse_place(text)
  if not said.exists:
    beside = bool(place.box or place.points or place.unread)
    return _with(said, set(), ("place_beside_false",) * beside)
  place = dataclasses.replace(
    place,
    kind="existence",
    exists=True,
    failure=place.failure if placed else None,
  )
  return _with(place, {*said.leniency}, said.unread)


def _existence(text: str) -> Answer:
  """Whether a text says that something is there."""
  tagged = _tagged(text)
  if tagged is None:  # the first words may say it
    first = _SENTENCE_END.split(text.strip()[:_LABEL_LIMIT], maxsplit=1)[0]
    sentence, names = label_text.unwrap(first)
    word = sentence.partition(" ")[0]
    tagged = _Tagged(word, {"untagged", *names})
  word, wrappings = label_text.unwrap(tagged.content[:_LABEL_LIMIT])
  canonical = labels.canonical(word, "existence")
  if canonical not in ("true", "false"):
    return Answer("existence", failure="no_true_false")
  synonym = {"synonym"} if labels.key(word) != canonical else set()
  answer = Answer("existence", exists=canonical == "true")
  leniency = tagged.leniency | wrappings | synonym
  return _with(answer, leniency, tagged.unread)


def parse_caption(text: str) -> Answer:
  return Answer("caption", caption=text.strip())


_PARSERS = {
  "events": parse_events,
  "place": parse_place,
  "caption": parse_caption,
}
