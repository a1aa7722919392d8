"""Which file of a folder holds an adapter of others, and of which kind."""

from crab_jax import errors
from crab_jax import files
from crab_jax.weights import adapter
from crab_jax.weights import official
from crab_jax.weights import peft


def find(source: files.Path) -> files.Path:
  """The adapter's tensors: `source` itself, or a file of that folder.

  Raises:
    UserError: the folder has none, or two that could be meant.
  """
  if not source.is_dir():
    return source
  names = (*official.FILES, *peft.TENSORS)
  found = [source / name for name in names if (source / name).is_file()]
  kinds = {is_peft(path) for path in found}
  if len(kinds) == 2 or (len(found) == 2 and kinds == {False}):
    raise errors.UserError(
      f"{source} holds {' and '.join(path.name for path in found)}: name the"
      " file that is meant"
    )
  if found:
    return found[0]  # of PEFT's two its order
  raise errors.UserError(
    f"{source} holds no adapter: none of {', '.join(names)}{_hint(source)}"
  )


def _hint(folder: files.Path) -> str:
  """Where the adapter may be instead."""
  if (folder / adapter.SETTINGS).is_file():
    return "; it is an adapter folder already"
  inside = [
    path.name
    for path in files.listing(folder)
    if path.is_dir()
    and any((path / x).is_file() for x in (*official.FILES, *peft.TENSORS))
  ]
  return f"; there is one in {', '.join(inside)}" if inside else ""


def is_peft(path: files.Path) -> bool:
  """Whether a file is PEFT's, by its name or by the settings beside it."""
  if path.name in official.FILES:
    return False
  beside = (path.parent / peft.SETTINGS).is_file()
  return path.name in peft.TENSORS or path.suffix == ".safetensors" or beside
