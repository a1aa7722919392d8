"""Questions with options: which of them an answer or a reference means.

A reference is the text of an option or its position, from 0. An answer is the
text, the letter (`B`, `(B)`, `B. dog`, `Option B`, `dog (B)`) or the position.
"""

import ast
import re

from crab_jax.evaluation.reading import labels

_LETTERS = "abcdefgh"
_NAMES = ("option", "choice", "answer")
_QUOTED = r"'(?:[^'\\]|\\.){0,300}'|\"(?:[^\"\\]|\\.){0,300}\""
_ITEM = rf"(?:{_QUOTED}|-?\d{{1,9}}(?:\.\d{{1,9}})?)"
# A list as Python writes it, as the official questions hold it.
_LIST = re.compile(
  rf"[\[(]\s{{0,4}}{_ITEM}(?:\s{{0,4}},\s{{0,4}}{_ITEM}){{1,7}}"
  r"\s{0,4},?\s{0,4}[\])]"
)
# "A. dog", "(A) dog", "A: dog": the letter that begins an option.
_LETTERED = re.compile(r"(?<!\w)\(?([A-H])[.):]\s{1,4}")


def of_question(text: str) -> tuple[str, ...]:
  """The options in a question that was written out; () if it has none."""
  # The last list, as options stand at the end of a question.
  for written in reversed(_LIST.findall(text)):
    try:
      return tuple(str(item) for item in ast.literal_eval(written))
    except (ValueError, SyntaxError):  # an escape that Python does not know
      continue
  return _lettered(text)


def _lettered(text: str) -> tuple[str, ...]:
  """The options of "A. dog B. cat": letters in a row, from A."""
  starts: list[re.Match[str]] = []
  for match in _LETTERED.finditer(text):
    if match[1] == "A":
      starts = [match]
    elif starts and match[1].lower() == _LETTERS[len(starts)]:
      starts.append(match)
  if len(starts) < 2:
    return ()
  ends = [*(match.start() for match in starts[1:]), len(text)]
  return tuple(
    text[match.end() : end].strip(" \t\r\n,;.\"'[]")
    for match, end in zip(starts, ends, strict=True)
  )


def true_option(label: str, options: tuple[str, ...]) -> str:
  """The option of a reference; the reference itself where it is none.

  A number that is itself an option is that option, else a position.
  """
  known = {labels.key(option) for option in options}
  if labels.key(label) in known or not label.isdecimal():
    return label
  # Cut, as `int` refuses texts of thousands of digits.
  position = int(label[:4])
  return options[position] if position < len(options) else label


def option(
  answer: str, options: tuple[str, ...]
) -> tuple[str | None, str | None]:
  """The option that an answer means, or None, and the leniency that took."""
  for one in options:
    # Before letters: "B" may be an option of its own.
    if labels.key(answer) == labels.key(one):
      return one, None
  if (found := _by_letter(labels.key(answer), options)) is not None:
    return found, "option_letter"
  for one in options:
    if took := labels.leniency(answer, one, "qa"):
      return one, took
  word = labels.key(answer)
  if word.isdecimal() and int(word[:4]) < len(options):
    return options[int(word[:4])], "option_position"
  return None, None


def _by_letter(word: str, options: tuple[str, ...]) -> str | None:
  """The option of "b", "option b", "b dog" or "dog b", with its own text."""
  words = word.split(" ")
  if len(words) > 1 and words[0] in _NAMES:
    words = words[1:]
  for letter, rest in ((words[0], words[1:]), (words[-1], words[:-1])):
    position = _LETTERS.find(letter) if len(letter) == 1 else -1
    inside = 0 <= position < len(options)
    if inside and " ".join(rest) in ("", labels.key(options[position])):
      return options[position]
  return None
