"""What annotation costs beside its media and its teacher, measured by hand.

  python -m tests.annotation.overhead [--rows=10000] [--asked=500]

Rows by templates, as a whole; then rows of a teacher that answers at once, in a
process of its own, with frames and sound that are made once. What remains is
the work of the program: prompts, requests over HTTP, cache, ledger, checks,
drafts, the files that are built. Wall time and processor time of this process.
"""

import argparse
import contextlib
import functools
import multiprocessing
import pathlib
import tempfile
import time
from unittest import mock

from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation.teaching import teacher
from crab_jax.data import tasks
from tests.annotation import sources
from tests.annotation import stub_teacher

# Those that take a whole video: cutting and masks are media work.
_NAMES = [n for n in sources.ALL if n not in ("s4", "ms3", "arig", "ref_avs")]
_CLIPS = 4


def _inputs(media, out, rows, teaching=None, workers=1):
  lines = [
    (f"line {i}", sources.row(
      _NAMES[i % len(_NAMES)], i % _CLIPS, id=f"row{i}",
      **({"split": "train"} if teaching else {}),
    ))
    for i in range(rows)
  ]  # fmt: skip
  found, faults = schema.parse(lines, tasks.Tasks())
  assert not faults
  writer = "teacher" if teaching else "template"
  return run.Inputs(
    found, faults, media, out, tasks.Tasks(),
    settings_lib.Settings(writer=writer, require_review="none"), teaching,
    settings_lib.Transport(timeout=30.0, workers=workers, budget=1e6,
                           price_in=0.3, price_out=2.5),
  )  # fmt: skip


def _measured(inputs) -> tuple[float, float, int]:
  """Wall seconds, seconds of the processor, and rows that were built."""
  begun, spent = time.monotonic(), time.process_time()
  summary = run.annotate(inputs, lambda text: None)
  wall, processor = time.monotonic() - begun, time.process_time() - spent
  built = sum(sum(counts.values()) for counts in summary["tasks"].values())
  return wall, processor, built


def _serve(pipe) -> None:
  """A teacher in a process of its own, until the pipe says something."""
  with stub_teacher.Stub() as stub:
    pipe.send(stub.url)
    pipe.recv()


@contextlib.contextmanager
def _teacher():
  """The address of a teacher that answers at once."""
  ours, its = multiprocessing.Pipe()
  process = multiprocessing.Process(target=_serve, args=(its,))
  process.start()
  try:
    yield ours.recv()
  finally:
    ours.send("end")
    process.join()


def main() -> None:
  """Prints both."""
  flags = argparse.ArgumentParser()
  flags.add_argument("--rows", type=int, default=10_000)
  flags.add_argument("--asked", type=int, default=500)
  asked = flags.parse_args()
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    media = folder / "media"
    media.mkdir()
    sources.write_media(media, _CLIPS)
    wall, processor, built = _measured(
      _inputs(media, folder / "templates", asked.rows)
    )
    print(
      f"templates: {built} rows in {wall:.1f} s, {processor:.1f} s of a processor"
    )
    # Clips with their frames and sound, made once for each task and clip.
    real = teacher.Teacher.senses
    kept = {}

    def senses(self, item):
      key = (item.task, *sorted(one.sha256 for one in item.media.values()))
      if key not in kept:
        kept[key] = real(self, item)
      return kept[key]

    with (
      _teacher() as url,
      mock.patch.object(teacher.Teacher, "senses", senses),
    ):
      make = functools.partial(
        _inputs, media, teaching=settings_lib.Teaching(url, "stub")
      )
      _measured(make(folder / "warm", rows=len(_NAMES) * _CLIPS))
      wall, processor, built = _measured(make(folder / "one", rows=asked.asked))
    print(
      f"teacher: {built} rows, {1000 * wall / built:.1f} ms a row,"
      f" {1000 * processor / built:.1f} ms of a processor"
    )


if __name__ == "__main__":
  main()
