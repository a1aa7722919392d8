"""How every command starts: its flags are parsed, its errors are one line.

A user's mistake (an unknown flag, a misspelt setting, a missing file) prints
one line on stderr and exits with code 2; only a defect of ours shows a
traceback.

A command imports what it needs inside its `main`. Importing jax takes seconds;
--help and a misspelt flag need none of it.
"""

import logging as python_logging
import os
import sys
import textwrap
import traceback
from collections.abc import Callable
from collections.abc import Iterator
from typing import NoReturn
from typing import TypeVar

from absl import flags
from absl import logging

from crab_jax import configs
from crab_jax import errors
from crab_jax import files

USER_EXIT = 2
DOUBTFUL_EXIT = 3  # a check found something wrong with the user's data
INCOMPLETE_EXIT = 4  # a report is written, and it lacks scores
_DEFECT = 1
_INTERRUPTED = 130
_HELP = {"--help", "-h", "--helpfull"}
_WIDTH = 80  # columns of the help
_Value = TypeVar("_Value")


def define_config_flags() -> None:
  """Defines --gin_file and --gin_param, for commands that gin configures."""
  flags.DEFINE_multi_string(
    "gin_file", [], "A gin file; repeatable, later files override earlier ones."
  )
  flags.DEFINE_multi_string(
    "gin_param",
    [],
    "A setting, Class.field=value; repeatable, wins over files.",
  )


def define_task_file_flag() -> flags.FlagHolder[str | None]:
  """Defines --task_file, for commands that read or answer tasks."""
  return flags.DEFINE_string(
    "task_file",
    None,
    "Tasks of your own (JSON, the form is in crab_jax/data/tasks.py). Not"
    " needed for records and checkpoints that hold them already.",
  )


def define_compiled_flag() -> flags.FlagHolder[str | None]:
  """Defines --compiled, for commands that have no work directory."""
  return flags.DEFINE_string(
    "compiled",
    None,
    "Folder of compiled programs, which a second run of the same shapes reads;"
    " off: compile anew. Default: crab_jax/compiled in $XDG_CACHE_HOME or"
    " ~/.cache.",
  )


def gin_files() -> list[str]:
  """The values of --gin_file, in order."""
  return flags.FLAGS.gin_file


def gin_settings() -> list[str]:
  """The values of --gin_param, in order."""
  return flags.FLAGS.gin_param


def required(flag: flags.FlagHolder[_Value | None]) -> _Value:
  """The value of a flag that must be given.

  Raises:
    UserError: it is not given, or empty.
  """
  if not flag.value:
    raise errors.UserError(f"--{flag.name} is required (see --help)")
  return flag.value


def required_path(flag: flags.FlagHolder[str | None]) -> files.Path:
  """The path that a flag names, which must be given.

  Raises:
    UserError: it is not given, or empty.
  """
  return _path(flag, required(flag))


def refuse(reason: str, *useless: flags.FlagHolder) -> None:
  """Checks that flags have no value.

  Raises:
    UserError: one has a value; its message is the flag's name and the reason.
  """
  for flag in useless:
    if flag.value:
      raise errors.UserError(f"--{flag.name} {reason}")


def path(flag: flags.FlagHolder[str | None]) -> files.Path | None:
  """The path that a flag names; None if it is not given."""
  return _path(flag, flag.value) if flag.value else None


def stage(
  flag: flags.FlagHolder[str | None], experiment: configs.Experiment
) -> configs.Stage:
  """The stage that a flag names; the last one if it is not given.

  Raises:
    UserError: the experiment has no such stage.
  """
  stages = {stage.name: stage for stage in experiment.stages}
  name = flag.value or experiment.stages[-1].name
  if name not in stages:
    raise errors.UserError(
      f"--{flag.name}={name}: there are {', '.join(stages)}"
    )
  return stages[name]


def local_folder(flag: flags.FlagHolder[str]) -> files.Path:
  """The folder that a flag names.

  Raises:
    UserError: it lies in a bucket.
  """
  return _path(flag, flag.value)


def _path(flag: flags.FlagHolder, value: str) -> files.Path:
  # "--workdir --gin_file=x": absl takes the next flag for the value. A flag
  # may have one dash too, and so may a folder.
  name = value.lstrip("-").partition("=")[0]
  if value.startswith("--") or value.startswith("-") and name in flags.FLAGS:
    raise errors.UserError(f"--{flag.name} has no value before {value}")
  try:
    return files.path(value)
  except errors.UserError as error:
    raise errors.UserError(f"--{flag.name}={error}") from error


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split())


def _parse(argv: list[str]) -> list[str]:
  try:
    rest = flags.FLAGS(argv)
  except flags.Error as error:
    raise errors.UserError(f"{_one_line(error)} (see --help)") from error
  # absl takes what has no dashes as an argument: "--out =x" would do nothing.
  if rest[1:]:
    raise errors.UserError(f"unexpected argument {rest[1]!r} (see --help)")
  return rest


def _flag_help(flag: flags.Flag) -> Iterator[str]:
  """The lines of the help about one flag."""
  name = f"[no]{flag.name}" if flag.boolean else flag.name
  yield f"  --{name}"
  about = flag.help or ""
  if flag.default not in (None, [], False):
    about += f" (default: {flag.default_as_str})"
  choices = getattr(flag.parser, "enum_values", None)
  if choices:
    about += f" (one of {', '.join(choices)})"
  yield from textwrap.wrap(
    about, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
  )


def _help(command: str) -> str:
  """The help of a command: its docstring, its own flags, the shared ones.

  absl, and libraries that use it, define flags for debugging too. They are
  parsed, but they would hide ours.

  Args:
    command: name of the module that defines the command's flags.
  """
  lines = [sys.modules[command].__doc__ or "", "flags:"]
  for module in (command, __name__):
    for flag in flags.FLAGS.get_flags_for_module(module):
      lines += _flag_help(flag)
  return "\n".join(lines)


# What the reads of orbax and tensorstore say that a damaged array cut off.
_ABANDONED = ("Event loop is closed", "error while reading array index")


def _is_news(record: python_logging.LogRecord) -> bool:
  return "exception was never retrieved" not in record.getMessage()


def _tell_unraisable(failed: "sys.UnraisableHookArgs") -> None:
  if not any(words in str(failed.exc_value) for words in _ABANDONED):
    sys.__unraisablehook__(failed)


def _silence_abandoned_reads() -> None:
  """Keeps the reads that an error left behind from reporting it again.

  Orbax reads all arrays of a folder at once and gives up at the first that is
  damaged. Each read that ends later, in a thread of tensorstore, finds no event
  loop or nobody waiting and would print a traceback.
  """
  sys.unraisablehook = _tell_unraisable
  python_logging.getLogger("asyncio").addFilter(_is_news)


def _end(code: int) -> NoReturn:
  """Ends after an error. Of several hosts one that fails ends at once.

  Else jax would wait for the others, which may wait for this one, and abort
  after minutes with a code that tells nothing.
  """
  if _is_one_of_several():
    # os._exit writes no buffer out.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
  sys.exit(code)


def _is_one_of_several() -> bool:
  jax = sys.modules.get("jax")  # an error before its import needs none
  return jax is not None and jax.distributed.is_initialized()


def run(main: Callable[[], int | None]) -> None:
  """Parses the flags, runs `main`, exits with its code (None: 0).

  Args:
    main: of the module that defines the command's flags.
  """
  # absl's own setup of --help and --log_dir is for app.run, which would print
  # the whole usage on every error.
  if _HELP & set(sys.argv[1:]):
    print(_help(main.__module__))
    # Before any flag is parsed: help must not depend on what else is given.
    sys.exit(0)
  try:
    _parse(sys.argv)
    logging.set_verbosity(logging.WARNING)
    logging.use_absl_handler()
    _silence_abandoned_reads()
    code = main()
  except errors.UserError as error:
    print(f"error: {_one_line(error)}", file=sys.stderr)
    _end(USER_EXIT)
  except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    _end(_INTERRUPTED)
  except Exception as error:
    # A library asked a bucket by itself.
    if reason := files.refusal(error):
      print(f"error: {_one_line(Exception(reason))}", file=sys.stderr)
      _end(USER_EXIT)
    if not _is_one_of_several():
      raise
    traceback.print_exc()
    _end(_DEFECT)
  sys.exit(code)
