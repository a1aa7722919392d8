"""Whether a text is in the language that is wanted: script, common words."""

import re
import unicodedata

from crab_jax.annotation.checking import findings

_SCRIPT = 0.9  # least share of letters of the script
_COMMON = 0.12  # least share of common words, of languages of one script

# language -> (beginning of the Unicode names of its letters, common words)
LANGUAGES: dict[str, tuple[tuple[str, ...], str]] = {
  "en": (
    ("LATIN",),
    "the a an and of to in is are it that this as with on at for by from he she"
    " they there not so both which while its be was what who one two then",
  ),
  "de": (
    ("LATIN",),
    "der die das und ein eine einen ist sind zu im in mit von auf für den dem"
    " nicht es sich als auch man hört sieht wird so bei aus",
  ),
  "fr": (
    ("LATIN",),
    "le la les un une et de des du est sont dans avec sur pour que qui il elle"
    " on ne pas à au en ce cette se son",
  ),
  "es": (
    ("LATIN",),
    "el la los las un una y de del es son en con por para que se no su al lo"
    " como hay esta este",
  ),
  "it": (
    ("LATIN",),
    "il lo la i gli le un una e di del della è sono in con per che si non da al"
    " nel questo",
  ),
  "pt": (
    ("LATIN",),
    "o a os as um uma e de do da é são em com por para que se não no na ao este",
  ),
  "zh": (("CJK",), ""),
  "ja": (("CJK", "HIRAGANA", "KATAKANA"), ""),
  "ko": (("HANGUL",), ""),
  "ru": (("CYRILLIC",), ""),
  "ar": (("ARABIC",), ""),
}


def check(text: str, context: findings.Context) -> findings.Finding | None:
  """A finding where a text is in another language."""
  scripts, common = LANGUAGES[context.language]
  letters = [c for c in _without(text, context) if c.isalpha()]
  own = sum(unicodedata.name(c, "").startswith(scripts) for c in letters)
  if letters and own < _SCRIPT * len(letters):
    return _finding(context)
  words = re.findall(r"[^\W\d_]+", _without(text, context).lower())
  known = set(common.split())
  if known and len(words) >= 8:
    share = sum(word in known for word in words) / len(words)
    if share < _COMMON:
      return _finding(context)
  return None


def _without(text: str, context: findings.Context) -> str:
  """The text without labels and quotes: those may be of any language."""
  text = re.sub(r"[\"“«][^\"”»]{0,400}[\"”»]", " ", text)
  for label in context.labels:
    for match in reversed(list(findings.named(label, text))):
      text = text[: match.start()] + text[match.end() :]
  return text


def _finding(context: findings.Context) -> findings.Finding:
  return findings.Finding(
    "language",
    findings.REWRITE,
    f"write in the language {context.language!r} alone",
  )
