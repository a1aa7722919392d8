"""Makes annotations with reasoning of your own clips and labels.

  python -m crab_jax.annotate --source=my_clips.csv --media=clips --out=AVUIE_2

The source is a CSV with a header, or JSONL. Columns: task (or --task), the media
(video, audio, image, video2, audio2; start, end), the answer (label; events;
question, answer, options; object, box, mask; caption), group and split. The
program writes the conclusion of each row, templates its reasoning. What is
written is read by `prepare`. Stopped at any moment, the same command goes on.
"""

import os
from typing import Any

from absl import flags

from crab_jax import cli
from crab_jax import errors
from crab_jax.annotation import settings as settings_lib

_DEFAULTS = settings_lib.Settings()
_SOURCE = flags.DEFINE_string(
  "source", None, "A .csv, .tsv or .jsonl file; with --reader a folder."
)
_READER = flags.DEFINE_string(
  "reader", None, "A set whose published files are read, such as ave."
)
_LIST_READERS = flags.DEFINE_bool(
  "list_readers", False, "Show the readers and the files that they read."
)
_LABELS = flags.DEFINE_string(
  "labels", None, "avqa: the folder of annotations, json or json_update."
)
_CREMAD = flags.DEFINE_enum(
  "cremad", "acted", ["acted", "voted"], "cremad: whose class."
)
_FOLD = flags.DEFINE_integer("fold", 1, "dfew, mafw, ucf: which of them.", 1, 5)
_MEDIA = flags.DEFINE_string(
  "media", None, "The folder of the media. Default: that of the source."
)
_OUT = flags.DEFINE_string("out", None, "The folder to write, such as AVUIE_2.")
_TASK_FILE = cli.define_task_file_flag()
_SETTINGS = (
  flags.DEFINE_string("task", None, "Of rows that name none."),
  flags.DEFINE_string(
    "split",
    _DEFAULTS.split,
    "Shares of train, val and test; what has one group or file stays together.",
  ),
  flags.DEFINE_float(
    "window",
    _DEFAULTS.window,
    "Seconds of the parts into which longer clips with events are cut; times"
    " are whole seconds. 0: whole clips with their true times.",
    0,
  ),
  flags.DEFINE_integer(
    "windows_per_clip", _DEFAULTS.windows_per_clip, "At most.", 1
  ),
  flags.DEFINE_enum(
    "weak",
    _DEFAULTS.weak,
    settings_lib.WEAK,
    "Rows of events without times: left out and counted, as long as the clip,"
    " or with times that the teacher proposes, which wait for review.",
  ),
  flags.DEFINE_enum(
    "writer",
    _DEFAULTS.writer,
    settings_lib.WRITERS,
    "Of the reasoning; bare: conclusions alone. With --teacher: teacher.",
  ),
  flags.DEFINE_string("templates", None, "A file that replaces our sentences."),
  flags.DEFINE_string(
    "tokenizer",
    None,
    "A folder with a model's tokenizer.json: tokens are counted exactly.",
  ),
  flags.DEFINE_enum(
    "media_as", _DEFAULTS.media_as, settings_lib.MEDIA_AS, "Whole files."
  ),
  flags.DEFINE_bool(
    "allow_overlap",
    False,
    "Let rows of one group or file be in several splits; clips that look alike"
    " are then not looked for.",
  ),
  flags.DEFINE_bool(
    "allow_invalid", False, "Leave out lines that are no rows."
  ),
  flags.DEFINE_enum(
    "require_review",
    _DEFAULTS.require_review,
    settings_lib.REVIEWS,
    "Which rows are built only when a person has accepted them; flagged: those"
    " in which a check found something.",
  ),
)
_TEACHING_DEFAULTS = settings_lib.Teaching("", "")
_TEACHER = flags.DEFINE_string(
  "teacher", None, "An OpenAI-style endpoint, such as http://localhost:8000/v1."
)
_MODEL = flags.DEFINE_string("model", None, "Its name at the endpoint.")
_JUDGE_KEY_ENV = flags.DEFINE_string(
  "judge_key_env", None, "As --key_env, of the judge, if it is elsewhere."
)
_KEY_ENV = flags.DEFINE_string(
  "key_env", None, "The environment variable that holds the endpoint's key."
)
_TEACHING = (
  flags.DEFINE_string("prompts", None, "A file that replaces our prompts."),
  flags.DEFINE_integer(
    "passes",
    _TEACHING_DEFAULTS.passes,
    "2: first what is seen and heard, without the label.",
    1,
    2,
  ),
  flags.DEFINE_integer(
    "attempts", _TEACHING_DEFAULTS.attempts, "Texts of a row at most.", 1
  ),
  flags.DEFINE_enum(
    "fallback",
    _TEACHING_DEFAULTS.fallback,
    settings_lib.FALLBACKS,
    "Of a row without a good text: held for review, a template, or left out.",
  ),
  flags.DEFINE_string(
    "language", _TEACHING_DEFAULTS.language, "Of the texts, such as en."
  ),
  flags.DEFINE_enum(
    "examples",
    _TEACHING_DEFAULTS.examples,
    settings_lib.EXAMPLES,
    "In the prompts: ours, or texts that were accepted in --out, chosen once.",
  ),
  flags.DEFINE_enum(
    "send",
    _TEACHING_DEFAULTS.send,
    settings_lib.SENDS,
    "The frames that the model will get, or the clip as a small video; its sound"
    " is sent beside it. Rows without one video are sent as frames.",
  ),
  flags.DEFINE_float(
    "temperature", _TEACHING_DEFAULTS.temperature, "Of the first text.", 0, 2
  ),
  flags.DEFINE_float(
    "request_mb", _TEACHING_DEFAULTS.request_mb, "Of a request at most.", 0.1
  ),
  flags.DEFINE_string(
    "judge", None, "An endpoint that is asked whether the clip supports a text."
  ),
  flags.DEFINE_string("judge_model", None, "Its name there."),
)
_LOCAL_HOSTS = flags.DEFINE_list(
  "local_hosts", [], "Hosts that are your own, by commas."
)
_ALLOW_REMOTE = flags.DEFINE_list(
  "allow_remote",
  [],
  "Sets whose clips may be sent to others although their terms forbid it.",
)
_TRANSPORT_DEFAULTS = settings_lib.Transport()
_TRANSPORT = (
  flags.DEFINE_integer(
    "workers", _TRANSPORT_DEFAULTS.workers, "Requests at a time.", 1
  ),
  flags.DEFINE_float(
    "budget", None, "What may be spent on --out in all runs together.", 0
  ),
  flags.DEFINE_float("price_in", 0.0, "Of a million tokens in.", 0),
  flags.DEFINE_float("price_out", 0.0, "Of a million tokens out.", 0),
  flags.DEFINE_float(
    "timeout", _TRANSPORT_DEFAULTS.timeout, "Seconds for a request.", 0.1
  ),
)
_RPM = flags.DEFINE_integer("rpm", 0, "Requests a minute at most; 0: any.", 0)
_TPM = flags.DEFINE_integer("tpm", 0, "Tokens a minute at most; 0: any.", 0)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Tell rows, tokens and cost of a teacher; ask nothing."
)
_BATCH = flags.DEFINE_string(
  "batch",
  None,
  "write: requests as OpenAI batch files; read=FILE: their replies.",
)


_RECORDS = flags.DEFINE_string(
  "records", None, "Prepare what is built into this folder at once."
)
_REVIEW = flags.DEFINE_bool(
  "review", False, "Serve a page on this machine to review what is in --out."
)
_REVIEW_FILE = flags.DEFINE_string(
  "review_file",
  None,
  "With --review: write the page as one file, such as review.html, to send round.",
)
_MERGE_REVIEWS = flags.DEFINE_list(
  "merge_reviews", [], "Files of decisions that such pages saved, by commas."
)
_REVIEWER = flags.DEFINE_string("reviewer", "me", "Who reviews.")
_REVIEW_SHARE = flags.DEFINE_float(
  "review_share",
  0.05,
  "Of the texts without findings, 30 a task at least.",
  0,
  1,
)
_PORT = flags.DEFINE_integer("port", 8765, "Of the page.", 0, 65535)


def main() -> None:
  if _LIST_READERS.value:
    from crab_jax.annotation.readers import reading

    print(reading.listing())
    return
  if _REVIEW.value or _REVIEW_FILE.value or _MERGE_REVIEWS.value:
    _review()
    return
  source, out = cli.required_path(_SOURCE), cli.required_path(_OUT)
  teaching = _teaching()
  values = _values(_SETTINGS)
  if teaching is not None and not flags.FLAGS["writer"].present:
    values["writer"] = "teacher"
  settings = settings_lib.Settings(**values)
  if settings.writer == "teacher" and teaching is None:
    raise errors.UserError("--writer=teacher needs --teacher and --model")
  # After the flags: these import av and scipy, which takes seconds.
  from crab_jax.annotation import run
  from crab_jax.annotation import schema
  from crab_jax.annotation import tables
  from crab_jax.annotation.readers import reading
  from crab_jax.annotation.readers import source as reader_source
  from crab_jax.data import tasks
  from crab_jax.evaluation.scoring import scores

  table = scores.own_tasks(cli.path(_TASK_FILE)) or tasks.Tasks()
  broken: list[schema.Fault] = []
  if _READER.value:
    media = cli.path(_MEDIA) or source
    options = reader_source.Options(_LABELS.value, _CREMAD.value, _FOLD.value)
    lines, broken = reading.read(_READER.value, source, media, options)
  else:
    media = cli.path(_MEDIA) or source.parent
    lines = list(tables.read(source))
  found, faults = schema.parse(lines, table, settings.task)
  faults = [*broken, *faults]
  summary = run.annotate(
    run.Inputs(
      found,
      faults,
      media,
      out,
      table,
      settings,
      teaching,
      _transport(),
      _BATCH.value,
      _DRY_RUN.value,
    )  # fmt: skip
  )
  built = tuple(name for name, n in summary.get("tasks", {}).items() if n)
  if _RECORDS.value and built:
    _prepare(out, built, table)


def _prepare(out, names: tuple[str, ...], table) -> None:
  """Makes the records of what is built, as the command `prepare` does."""
  from crab_jax.data import preparation
  from crab_jax.evaluation.reading import references

  records = cli.required_path(_RECORDS)
  made = preparation.prepare(
    out, records, names, table=table, check=references.has_object
  )
  print(f"{made['records']} records in {records}")


def _review() -> None:
  """Serves the page of the review, writes it, or merges what it saved."""
  out = cli.required_path(_OUT)
  from crab_jax import files
  from crab_jax.annotation import run
  from crab_jax.annotation.review import page_file
  from crab_jax.annotation.review import session as session_lib
  from crab_jax.data import tasks
  from crab_jax.evaluation.scoring import scores

  table = scores.own_tasks(cli.path(_TASK_FILE)) or tasks.Tasks()
  session = session_lib.Session(
    out, out / run.STATE, table, _REVIEWER.value, _REVIEW_SHARE.value
  )
  for path in _MERGE_REVIEWS.value:
    page_file.merge(session, out, files.path(path))
  if _MERGE_REVIEWS.value:
    return
  if _REVIEW_FILE.value:
    page_file.write(session, cli.required_path(_REVIEW_FILE))
    return
  try:
    from crab_jax.annotation.review import app
  except ModuleNotFoundError as error:
    raise errors.UserError(
      f"--review needs {error.name}: pip install 'crab_jax[annotate]'"
    ) from error
  app.serve(session, _PORT.value)


def _values(holders) -> dict[str, Any]:
  return {flag.name: flag.value for flag in holders}


def _teaching() -> settings_lib.Teaching | None:
  """Whom to ask, by the flags.

  Raises:
    UserError: there is a teacher and no model, or no such language.
  """
  if not _TEACHER.value:
    return None
  from crab_jax.annotation.checking import language

  values = _values(_TEACHING)
  if values["language"] not in language.LANGUAGES:
    raise errors.UserError(
      f"--language={values['language']}: there are"
      f" {', '.join(language.LANGUAGES)}"
    )
  return settings_lib.Teaching(
    url=_TEACHER.value,
    model=cli.required(_MODEL),
    local_hosts=tuple(_LOCAL_HOSTS.value),
    allow_remote=tuple(_ALLOW_REMOTE.value),
    **values,
  )


def _transport() -> settings_lib.Transport:
  """How fast and at what price, by the flags.

  Raises:
    UserError: the variable of a key is not set.
  """
  return settings_lib.Transport(
    key=_key(_KEY_ENV),
    judge_key=_key(_JUDGE_KEY_ENV),
    per_minute=_RPM.value,
    tokens_per_minute=_TPM.value,
    **_values(_TRANSPORT),
  )


def _key(holder: flags.FlagHolder[str | None]) -> str | None:
  """The value of the variable that a flag names."""
  if not holder.value:
    return None
  key = os.environ.get(holder.value)
  if not key:
    raise errors.UserError(f"--{holder.name}={holder.value}: it is not set")
  return key


if __name__ == "__main__":
  cli.run(main)
