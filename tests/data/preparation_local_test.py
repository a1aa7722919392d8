"""Worker processes that die take nothing with them but their row."""

import json
import os
import signal

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import journal
from crab_jax.data import preparation
from crab_jax.data import preparation_local
from crab_jax.data import preparer as preparer_lib
from crab_jax.data import records
from crab_jax.data import tasks
from tests.data import clips

_FATAL = "-1.mp4"


class _Dying(preparer_lib.Preparer):
  """A preparer whose process is killed by one file, as a decoder would."""

  def row(self, reader, shard, row):
    if shard.rows[row]["video_path"] == _FATAL:
      os.kill(os.getpid(), signal.SIGKILL)
    return super().row(reader, shard, row)


class _DyingOnce(preparer_lib.Preparer):
  """A preparer one of whose processes is killed from outside, once."""

  def row(self, reader, shard, row):
    mark = self.out / "killed"
    if shard.rows[row]["video_path"] == _FATAL and not mark.exists():
      mark.touch()
      os.kill(os.getpid(), signal.SIGKILL)
    return super().row(reader, shard, row)


class _DyingEarly(preparer_lib.Preparer):
  """A preparer whose processes die before they begin."""

  def header(self, shard):
    os.kill(os.getpid(), signal.SIGKILL)
    return super().header(shard)


def _prepare(tmp_path, kind, workers=2):
  source = tmp_path / "AVUIE_2"
  if not source.exists():
    clips.write_emotion(source, "cremad", 7)
    clips.write_emotion(source, "dfew", 3)

  def runner(preparer, shards):
    fields = vars(preparer)
    preparation_local.run(kind(**fields), shards)

  config = configs.Preparation(
    frame_size=28, shard_records=4, workers=workers, max_bad_share=1,
    max_bad_task_share=1,
  )  # fmt: skip
  return preparation.prepare(source, tmp_path / "out", None, config, runner)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_that_no_process_survives_is_counted(tmp_path, workers):
  summary = _prepare(tmp_path, _Dying, workers)
  assert (summary["rows"], summary["records"]) == (10, 7)
  lines = (tmp_path / "out/bad_media.jsonl").read_text().splitlines()
  for line, name in zip(
    map(json.loads, lines),
    ["cremad/train/1", "cremad/train/4", "dfew/train/1"],
    strict=True,
  ):
    assert (line["id"], line["status"]) == (name, "crashed")
    assert f"video/{_FATAL}" in line["reason"]
  found = records.read_split(tmp_path / "out", "cremad", "train")
  assert [record.row for record in found] == [0, 2, 3, 5, 6]


def test_a_process_that_is_killed_from_outside_costs_no_row(tmp_path):
  summary = _prepare(tmp_path, _DyingOnce)
  assert (summary["rows"], summary["records"]) == (10, 10)
  assert (tmp_path / "out/killed").exists()


def test_processes_that_die_without_a_row_are_an_error(tmp_path):
  shard = journal.Shard("dfew", "train", 0, 1, 0, [{}])
  config = configs.Preparation(workers=1)
  preparer = _DyingEarly(tmp_path, tmp_path, config, tasks.Tasks())
  with pytest.raises(errors.UserError, match="before they read anything"):
    preparation_local.run(preparer, [shard])
