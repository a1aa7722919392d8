"""Checks of a text against the label: classes, modality, place, notes."""

import functools
import re

from crab_jax import configs
from crab_jax.annotation import truths
from crab_jax.annotation.checking import findings
from crab_jax.annotation.checking import lexicon
from crab_jax.evaluation.reading import labels

_SIZE = configs.COORDINATE_SIZE
_SEEN = re.compile(
  r"\b(?:seen|see|sees|visible|visibly|watch\w*|appears? (?:in|on)|shown|shows?|"
  r"in view|in the frames?|on (?:the )?screen|on camera|look(?:s|ing)? like)\b",
  re.IGNORECASE,
)
_HEARD = re.compile(
  r"\b(?:heard|hear|hears|audible|audibly|listen\w*|sounds?|loud\w*|noise|"
  r"in the (?:audio|background audio|soundtrack)|rings? out)\b",
  re.IGNORECASE,
)
_UNABLE = re.compile(
  r"\b(?:un|in)(?:seen|visible|audible|heard)\b|\boff[- ]?(?:screen|camera)\b",
  re.IGNORECASE,
)
_ACROSS = re.compile(
  r"\b(?:on|to|at|in|from|towards?)\s+(?:the\s+|its\s+)?(?:very\s+|far\s+|upper[ -]"
  r"|lower[ -]|top[ -]|bottom[ -])?(left|right)\b"
  r"|\b(?:upper|lower|top|bottom)[ -](left|right)\b"
  r"|\b(left|right)(?:most|-hand)?\s+(?:side|half|third|part|edge|corner)\b",
  re.IGNORECASE,
)
_DOWN = re.compile(
  r"\b(?:in|at|on|near|towards?)\s+the\s+(?:very\s+)?(upper|lower|top|bottom)\b"
  r"|\b(upper|lower|top|bottom)[ -](?:left|right|half|third|part|edge|corner|"
  r"side)\b",
  re.IGNORECASE,
)
_LOW = ("left", "upper", "top")
_GENERIC = {
  "playing", "making", "doing", "using", "people", "person", "man", "woman",
  "male", "female", "the", "and", "with", "for", "from", "of", "on", "in",
}  # fmt: skip
_SHORTEST = 3  # letters of a class that is looked for


def other_class(
  text: str, context: findings.Context
) -> findings.Finding | None:
  """Another class of the task, or a synonym of one, said to be there."""
  group, told = context.task.synonyms, context.told
  own = {
    word: None for name in context.labels for word in lexicon.words(name, group)
  }
  rest = text
  for word in sorted(own, key=len, reverse=True):
    for match in reversed(list(findings.named(word, rest))):
      rest = rest[: match.start()] + " " * len(match[0]) + rest[match.end() :]
  same = {labels.canonical(name, group) for name in context.labels}
  for start, end, classes in lexicon.mentions(rest, context.vocabulary, group):
    if any(
      labels.canonical(name, group) in same
      or (name.isascii() and len(name) < _SHORTEST)
      or any(True for _ in findings.named(name, told))
      for name in classes
    ) or any(True for _ in findings.named(text[start:end], told)):
      continue
    if not findings.negated(rest, start):
      strict = context.task.kind == "events" or (
        context.task.family == "matching"
      )
      return findings.Finding(
        "other_class",
        findings.REWRITE if strict else findings.FLAG,
        f"{min(classes)} is not what the clip shows",
        (text[start:end],),
      )
  return None


def contradicted(
  text: str, context: findings.Context
) -> findings.Finding | None:
  """Notes made without the label that do not fit it."""
  notes = context.notes
  if notes is None:
    return None
  if notes.doubt >= 2:
    return findings.Finding(
      "contradicted", findings.FLAG, f"doubt {notes.doubt} of 3"
    )
  noted = f"{notes.seen} {notes.heard}"
  if context.task.family in ("matching", "qa") or not context.labels:
    return None
  group = context.task.synonyms
  if not any(_is_noted(name, group, noted) for name in context.labels):
    return findings.Finding(
      "contradicted", findings.FLAG, "the notes do not name the class"
    )
  return None


def _is_noted(name: str, group: str | None, noted: str) -> bool:
  """Whether a word of a class or of a synonym is noted, and not denied."""
  pattern = _any_word(name, group)
  return pattern is not None and any(
    not findings.negated(noted, match.start())
    for match in pattern.finditer(noted)
  )


@functools.lru_cache(maxsize=1024)
def _any_word(name: str, group: str | None) -> re.Pattern[str] | None:
  """Finds each word of a class in any of its forms: clapping, claps, clapped."""
  own = re.findall(r"\w+", name.lower())
  spellings = [*lexicon.words(name, group)]
  spellings += [w for word in own for w in lexicon.words(word)]
  every = {
    word.lower() for text in spellings for word in re.findall(r"\w+", text)
  }
  parts = []
  # What says little ("playing piano") counts where nothing else is there.
  for word in sorted(every - _GENERIC or every):
    base = re.sub(r"(?<=\w{3})(?:ing|ers?|e[sd]?|s)$", "", word)
    base = re.sub(r"([bdgmnprt])\1$", r"\1", base)
    if word.isascii():
      last = re.escape(base[-1])
      parts.append(
        rf"\b{re.escape(base)}(?:{last}?(?:ing|ed|er|ers)|e?s?|ists?)\b"
      )
    else:
      parts.append(re.escape(word))
  return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def modality(text: str, context: findings.Context) -> findings.Finding | None:
  """What is only heard said to be seen, or the reverse."""
  item = context.item
  told = truths.tells_modality(context.task)
  kinds: dict[str, set[str]] = {}
  for event in item.truth.answer.events if told else item.beside:
    name = item.spoken(event.label)
    kinds.setdefault(name, set()).add(event.modality)
  for label, found in kinds.items():
    wrong = {"audio": _SEEN, "visual": _HEARD}.get("".join(found))
    if wrong and (words := _said_of(label, wrong, text, [*kinds])):
      sense = "heard" if found == {"audio"} else "seen"
      return findings.Finding(
        "modality", findings.REWRITE, f"{label} is only {sense}", (words,)
      )
  return None


def _said_of(
  label: str, sense: re.Pattern[str], text: str, every: list[str]
) -> str | None:
  """The word of a sense in a clause that names one class alone."""
  for sentence in findings.sentences(text):
    for clause in re.split(r"[,;]|\b(?:and|while|but|whereas)\b", sentence):
      if not any(True for _ in findings.named(label, clause)):
        continue
      if any(
        any(True for _ in findings.named(other, clause))
        for other in every
        if other != label
      ):
        continue
      match = sense.search(clause)
      if match is None or _UNABLE.search(clause):
        continue
      if not findings.negated(clause, match.start()):
        return match[0]
  return None


def place(text: str, context: findings.Context) -> findings.Finding | None:
  """A side of the frame on which the box does not lie."""
  box = context.item.truth.answer.box
  if box is None:
    return None
  middles = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
  for pattern, middle in zip((_ACROSS, _DOWN), middles, strict=True):
    third = min(int(3 * middle / _SIZE), 2)
    for sentence in findings.sentences(text):
      if not _is_about(sentence, context):
        continue
      for match in pattern.finditer(sentence):
        word = next(part for part in match.groups() if part).lower()
        said = 0 if word in _LOW else 2
        opposite = third == 2 - said
        if opposite and not findings.negated(sentence, match.start()):
          return findings.Finding(
            "place",
            findings.REWRITE,
            f"the object is not {match[0]!r}",
            (match[0],),
          )
  return None


def _is_about(sentence: str, context: findings.Context) -> bool:
  """Whether a sentence is about the object: names it, or says it."""
  if re.search(r"\b(?:it|its|this|object)\b", sentence, re.IGNORECASE):
    return True
  words = [w for label in context.labels for w in re.findall(r"\w{3,}", label)]
  return any(
    re.search(rf"\b{re.escape(word)}", sentence, re.IGNORECASE)
    for word in words
  )
