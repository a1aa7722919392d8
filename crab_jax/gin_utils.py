"""Reads gin files into the dataclasses of `configs`; the only user of gin.

Every mistake that gin lets pass is an error here: a name that nothing has, a
binding that nothing used, a value of the wrong type.
"""

import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Iterator

import gin
from absl import logging

from crab_jax import configs
from crab_jax import errors

_IMPORTS = (
  "from __gin__ import dynamic_registration\nfrom crab_jax import configs\n"
)
# What gin raises for what a file says; NameError: for a class not imported.
_MISTAKES = (
  ValueError,
  AttributeError,
  SyntaxError,
  ImportError,
  NameError,
  OSError,
)
# Where files are looked for, in this order; an `include` too.
_FOLDERS = (pathlib.Path(), pathlib.Path(__file__).resolve().parents[1])


def _binding(setting: str) -> str:
  """`Class.field=value` of the command line as a line of gin."""
  name, _, value = (part.strip() for part in setting.partition("="))
  scope, _, selector = name.rpartition("/")
  if not value or not re.fullmatch(r"\w+\.\w+", selector):
    raise errors.UserError(
      f"--gin_param={setting!r} must read Class.field=value"
    )
  prefix = f"{scope}/" if scope else ""
  return f"{prefix}configs.{selector} = {value}"


def _first_line(error: BaseException) -> str:
  """What gin says and where, without its dump of the whole configuration."""
  text = str(error)
  said = text.split("in config string:")[0].split("\n  In ")[0].strip()
  if isinstance(error, SyntaxError):
    return f"{said}: {(error.text or '').strip()!r} in {error.filename}"
  match = re.search(r"\n  In .*line \d+\n\s*(.*)", text)
  return f"{said} (at {match.group(1).strip()!r})" if match else said


def _names(text: str) -> set[str]:
  """Names of the fields and macros bound in a configuration gin printed."""
  return set(re.findall(r"^([\w./]+) = ", text, re.M))


def _with_outer_scopes(names: set[str]) -> set[str]:
  """Adds a/x.y and x.y for each a/b/x.y: an inner scope reads the outer."""
  found = set(names)
  for name in names:
    *scopes, selector = name.split("/")
    for depth in range(len(scopes)):
      found.add("/".join([*scopes[:depth], selector]))
  return found


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
  """Keeps gin from logging each folder that lacks a file: its error names all."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.FATAL)
  try:
    yield
  finally:
    logging.set_verbosity(before)


def _read(files: list[str], settings: list[str]) -> None:
  """Makes gin's global configuration that of the files and settings."""
  # gin's configuration is global: what was read before must not count.
  gin.clear_config()
  try:
    with _unlogged():
      gin.parse_config_files_and_bindings(
        files,
        [_IMPORTS + "\n".join(map(_binding, settings))] if settings else [],
        print_includes_and_imports=False,
      )
  except _MISTAKES as e:
    raise errors.UserError(f"gin: {_first_line(e)}") from e


def _build() -> configs.Experiment:
  try:
    return gin.get_configurable(configs.Experiment)()
  except (TypeError, *_MISTAKES) as error:
    raise errors.UserError(f"gin: {_first_line(error)}") from error


def _path(name: str) -> pathlib.Path:
  """The gin file of this name, from the first folder that has it.

  Raises:
    UserError: no folder has it.
  """
  for folder in _FOLDERS:
    if (folder / name).is_file():
      return folder / name
  raise errors.UserError(f"--gin_file={name}: there is no such file")


def _predecessors(name: str) -> list[str]:
  """What comes before a file in the command of its header, as flags."""
  lines = _path(name).read_text().splitlines()
  header = "\n".join(line for line in lines if line.startswith("#"))
  flags = re.findall(r"--gin_file=\S+", header)
  own = f"--gin_file=gin/{name.rpartition('gin/')[2]}"
  return flags[: flags.index(own)] if own in flags else []


def _require_whole(files: list[str]) -> None:
  """Checks that what gin has read describes an experiment of its own.

  Raises:
    UserError: no file binds what an experiment cannot be built without.
  """
  bound = _names(gin.config_str())
  absent = [
    f"Experiment.{field.name}"
    for field in dataclasses.fields(configs.Experiment)
    if field.default is dataclasses.MISSING
    and f"configs.Experiment.{field.name}" not in bound
  ]
  if not absent:
    return
  before = " ".join(_predecessors(files[0])) or "a whole one (gin/base.gin)"
  raise errors.UserError(
    f"--gin_file={files[0]} is only a difference (it sets no"
    f" {', no '.join(absent)}): give {before} before it"
  )


def _used(files: list[str], settings: list[str]) -> set[str]:
  """Names that a build from the first files, or more of them, reads.

  A later file may well cut off what an earlier one set (real records in place
  of the synthetic world); that is no mistake. A name that no build reads is.
  """
  used: set[str] = set()
  parts = [(files[: i + 1], list[str]()) for i in range(len(files))]
  for part in [*parts, (files, settings)]:
    _read(*part)
    used |= set(re.findall(r"%([\w/]+)", gin.config_str()))
    try:
      _build()
    except errors.UserError:
      continue  # a difference file alone need not build
    used |= _with_outer_scopes(_names(gin.operative_config_str()))
  return used


def experiment(files: list[str], settings: list[str]) -> configs.Experiment:
  """Builds the experiment that gin files and settings describe.

  Args:
    files: gin files, later ones win; looked for from the working directory,
      then from the root of the repository.
    settings: `Class.field=value`, each wins over the files.

  Returns:
    The experiment, its types and ranges checked.

  Raises:
    UserError: a missing file, a difference without a file before it, an unknown
      name, a wrong type, a setting that contradicts another, or one that
      nothing used.
  """
  if not files:
    raise errors.UserError("--gin_file is needed, e.g. --gin_file=gin/base.gin")
  for name in files:
    _path(name)
  # For includes: a command may be given in any folder.
  gin.add_config_file_search_path(str(_FOLDERS[-1]))
  _read(files, settings)
  _require_whole(files)
  _build()  # its errors come before those about unused names
  used = _used(files, settings)
  _read(files, settings)
  # gin itself accepts a binding that nothing reads.
  unused = _names(gin.config_str()) - used
  if unused:
    raise errors.UserError(
      "gin: set but used by nothing: " + ", ".join(sorted(unused))
    )
  return _build()


def operative_config() -> str:
  """The configuration in force, as text that gin can read again."""
  return gin.operative_config_str()
