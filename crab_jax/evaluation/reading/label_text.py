r"""What wraps a label that is said without tags, or inside of them.

`The answer is two.`, `**two**`, `\boxed{two}`, `{"answer": "two"}`: each
wrapping has a name, which is counted as leniency.
"""

import re

_LIMIT = 200  # characters of a label
_LAYERS = 8  # of wrappings that are taken off
_EDGE = " \t\r\n.\"'“”‘’!"

_BOXED = re.compile(
  r"\\f?boxed\s{0,4}\{((?:[^{}]|\{[^{}]{0,200}\}){0,200})\}", re.DOTALL
)
_MARKS = re.compile(r"[*`]{1,3}|~~")
_LINE_MARK = re.compile(r"\A\s{0,4}(?:#{1,6}\s|>\s|-\s)")
_LATEX = re.compile(
  r"\${1,2}(.*?)\${1,2}|\\\((.*)\\\)|\\\[(.*)\\\]"
  r"|\\(?:f?boxed|text|textbf|textit|textrm|mathrm|mathbf)\s{0,4}\{(.*)\}",
  re.DOTALL,
)
_JSON = re.compile(
  r"\{\s*[\"']?(?:final_?)?(?:answer|label|choice)[\"']?\s*:\s*(.*?)\s*\}",
  re.DOTALL | re.IGNORECASE,
)
# "So, the correct answer is: two", "Final answer: two", "It is two".
_PHRASE = re.compile(
  r"(?:(?:so|thus|hence|therefore|okay|ok|well)\s{0,4},?\s{1,4})?"
  r"(?:i\s{1,4}(?:think|believe|guess|say)\s{1,4}(?:that\s{1,4})?)?"
  r"(?:(?:the|my|this)\s{1,4})?(?:(?:final|correct|right|best)\s{1,4}){0,2}"
  r"(?:(?:answer|choice|option|label)s?\s{0,4}"
  r"(?:\s(?:is|are|was|would\s{1,4}be|should\s{1,4}be)\b\s{0,4}:?|[:=–]|->?|→)"
  r"|(?:it|this|that)(?:\s{1,4}is|'s|’s)\b)\s{0,4}(.*)",
  re.DOTALL | re.IGNORECASE,
)


def boxed(text: str) -> list[str]:
  r"""The contents of every `\boxed{..}` of a text."""
  return [match[1] for match in _BOXED.finditer(text)]


def unwrap(text: str) -> tuple[str, set[str]]:
  """The label inside of its wrappings, and their names.

  Args:
    text: what may be a label; a long one is given back as it is.
  """
  label, names = text.strip(_EDGE), set[str]()
  # Patterns of `_layer` would be tried on a whole essay, which is no label.
  if len(label) > 2 * _LIMIT:
    return label, names
  for _ in range(_LAYERS):
    inside, name = _layer(label)
    if name is None:
      break
    label, names = inside.strip(_EDGE), names | {name}
  return label, names


def _layer(label: str) -> tuple[str, str | None]:
  """A label without its outermost wrapping, and the name of that."""
  for name, pattern in (
    ("latex", _LATEX),
    ("json", _JSON),
    ("answer_phrase", _PHRASE),
  ):
    if match := pattern.fullmatch(label):
      return next(part for part in match.groups() if part is not None), name
  marked = _MARKS.sub("", _LINE_MARK.sub("", label)).strip("_")
  return (marked, "markdown") if marked != label else (label, None)
