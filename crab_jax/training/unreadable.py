"""Faults of reading a folder of orbax, as errors of one line."""

import contextlib
from collections.abc import Iterator

from crab_jax import errors
from crab_jax import files

# What damaged or forbidden files raise; no lack of memory is among it.
_FAULTS = (OSError, ValueError, LookupError, TypeError)
# Orbax writes a page; its beginning names the array and the file.
_SHOWN = 300  # characters


@contextlib.contextmanager
def as_user_error(path: files.Path, remedy: str = "") -> Iterator[None]:
  """Reads of `path` in its body fail as one error of the user's.

  Args:
    path: the folder that is read; the error names it.
    remedy: what to do, at the end of the message.

  Raises:
    UserError: a file of the folder is damaged, missing or forbidden.
  """
  try:
    yield
  except Exception as error:
    # A bare Exception is what orbax puts around some faults of tensorstore.
    fault = error.__cause__ if type(error) is Exception else error
    if not isinstance(fault, _FAULTS):
      raise
    said = " ".join(str(fault).split())[:_SHOWN]
    end = f"; {remedy}" if remedy else ""
    raise errors.UserError(f"{path} cannot be read: {said}{end}") from error
