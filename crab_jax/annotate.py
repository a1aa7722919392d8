"""Makes annotations with reasoning of your own clips and labels.

  python -m crab_jax.annotate --source=my_clips.csv --media=clips --out=AVUIE_2

The source is a CSV with a header, or JSONL. Columns: task (or --task), the media
(video, audio, image, video2, audio2; start, end), the answer (label; events;
question, answer, options; object, box, mask; caption), group and split. The
program writes the conclusion of each row, templates its reasoning. What is
written is read by `prepare`. Stopped at any moment, the same command goes on.
"""

from typing import Any

from absl import flags

from crab_jax import cli
from crab_jax.annotation import settings as settings_lib

_DEFAULTS = settings_lib.Settings()
_SOURCE = flags.DEFINE_string("source", None, "A .csv, .tsv or .jsonl file.")
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
    ["skip", "whole"],
    "Rows of events without times: left out and counted, or as long as the"
    " clip.",
  ),
  flags.DEFINE_enum(
    "writer",
    _DEFAULTS.writer,
    ["template", "bare"],
    "Of the reasoning; bare: conclusions alone.",
  ),
  flags.DEFINE_string("templates", None, "A file that replaces our sentences."),
  flags.DEFINE_enum(
    "media_as", _DEFAULTS.media_as, settings_lib.MEDIA_AS, "Whole files."
  ),
  flags.DEFINE_bool(
    "allow_overlap",
    False,
    "Let rows of one group or file be in several splits.",
  ),
  flags.DEFINE_bool(
    "allow_invalid", False, "Leave out lines that are no rows."
  ),
)


def main() -> None:
  source, out = cli.required_path(_SOURCE), cli.required_path(_OUT)
  values: dict[str, Any] = {flag.name: flag.value for flag in _SETTINGS}
  settings = settings_lib.Settings(**values)
  # After the flags: these import av and scipy, which takes seconds.
  from crab_jax.annotation import run
  from crab_jax.annotation import schema
  from crab_jax.annotation import tables
  from crab_jax.data import tasks
  from crab_jax.evaluation.scoring import scores

  table = scores.own_tasks(cli.path(_TASK_FILE)) or tasks.Tasks()
  lines = list(tables.read(source))
  found, faults = schema.parse(lines, table, settings.task)
  media = cli.path(_MEDIA) or source.parent
  run.annotate(run.Inputs(found, faults, media, out, table, settings))


if __name__ == "__main__":
  cli.run(main)
