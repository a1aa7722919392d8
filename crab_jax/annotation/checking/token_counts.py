"""How many tokens a text has: exactly where there is a tokenizer, else about."""

import re
from collections.abc import Callable

import tokenizers

from crab_jax import errors
from crab_jax import files

FILE = "tokenizer.json"
_CHARACTERS = 4.5  # of a token behind the first half, in words of English

Count = Callable[[str], int]


def about(text: str) -> int:
  """About how many tokens a text has, rather too many."""
  signs = len(re.findall(r"[^\w\s]|\d", text))
  letters = sum(
    len(word) / _CHARACTERS + 0.5 for word in re.findall(r"[^\W\d]+", text)
  )
  return round(signs + letters)


def exact(folder: files.Path) -> Count:
  """Counts the tokens of a model, without special ones.

  Args:
    folder: of the model, or of its tokenizer alone.

  Raises:
    UserError: it has no tokenizer.json, or a damaged one.
  """
  path = folder / FILE
  try:
    engine = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
  except OSError as error:
    raise errors.UserError(
      f"--tokenizer: cannot read {path}: {error}"
    ) from None
  except Exception as error:  # the library raises nothing more exact
    raise errors.UserError(f"--tokenizer: {path}: {error}") from None
  return lambda text: len(engine.encode(text, add_special_tokens=False).ids)
