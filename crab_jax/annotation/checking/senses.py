"""Checks of a text against the label: classes, modality, place, notes."""

import re

from crab_jax import configs
from crab_jax.annotation import truths
from crab_jax.annotation.checking import findings
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


def other_class(
  text: str, context: findings.Context
) -> findings.Finding | None:
  """Another class of the task, said to be there."""
  rest = text
  for name in sorted(context.labels, key=len, reverse=True):
    for match in reversed(list(findings.named(name, rest))):
      rest = rest[: match.start()] + " " * len(match[0]) + rest[match.end() :]
  own = {
    labels.canonical(name, context.task.synonyms) for name in context.labels
  }
  for name in sorted(context.vocabulary):
    if labels.canonical(name, context.task.synonyms) in own or len(name) < 3:
      continue
    if any(True for _ in findings.named(name, context.told)):
      continue
    for match in findings.named(name, rest):
      if not findings.negated(rest, match.start()):
        strict = context.task.kind == "events" or (
          context.task.family == "matching"
        )
        return findings.Finding(
          "other_class",
          findings.REWRITE if strict else findings.FLAG,
          f"{name} is not what the clip shows",
          (text[match.start() : match.end()],),
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
  if not any(_resembles(name, noted) for name in context.labels):
    return findings.Finding(
      "contradicted", findings.FLAG, "the notes do not name the class"
    )
  return None


def _resembles(name: str, noted: str) -> bool:
  """Whether a word of a class, by its stem, is noted."""
  words = [word for word in re.findall(r"\w+", name.lower()) if len(word) > 2]
  noted = noted.lower()
  return any(
    word[: max(len(word) - 3, 3)] in noted for word in words or [name.lower()]
  )


def modality(text: str, context: findings.Context) -> findings.Finding | None:
  """What is only heard said to be seen, or the reverse."""
  if not truths.tells_modality(context.task):
    return None
  kinds: dict[str, set[str]] = {}
  for event in context.item.truth.answer.events:
    kinds.setdefault(event.label, set()).add(event.modality)
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
