import pytest

from crab_jax import configs
from crab_jax.data import journal
from crab_jax.data import preparation_report


def _counts(out, statuses):
  """Counts of one dataset whose rows have the given statuses."""
  rows = list(range(len(statuses)))
  shard = journal.Shard("ks", "train", 0, 1, 0, rows)
  with journal.Writer(shard, out, {}) as writer:
    for row, status in enumerate(statuses):
      usable = status in ("ok", "short_video")
      line = {"id": f"ks/train/{row}", "status": status, "reason": "why"}
      writer.add(line, b"x" if usable else None)
    writer.finish()
  return preparation_report.Counts([shard], out)


def test_rows_are_counted_by_status(tmp_path):
  counts = _counts(tmp_path, ["ok", "bad_video", "short_video", "ok"])
  found = counts.datasets()["ks"]["train"]
  assert (found["rows"], found["records"]) == (4, 3)
  assert found["statuses"] == {"ok": 2, "bad_video": 1, "short_video": 1}
  assert found["shard_records"] == [3]
  assert found["bytes"] == 3 * 17
  assert [row["id"] for row in counts.rows] == [
    f"ks/train/{row}" for row in range(4)
  ]
  assert [row["id"] for row in counts.bad_rows()] == ["ks/train/1"]


@pytest.mark.parametrize(
  ("share", "task_share", "named"),
  [
    (0.25, 0.25, []),
    (0.2, 0.25, ["max_bad_share=0.2"]),
    (0.25, 0.2, ["ks are bad, more than max_bad_task_share=0.2"]),
    (0, 0, ["max_bad_share", "max_bad_task_share"]),
  ],
)
def test_the_budget(tmp_path, share, task_share, named):
  counts = _counts(tmp_path, ["ok", "bad_audio", "short_video", "ok"])
  config = configs.Preparation(
    max_bad_share=share, max_bad_task_share=task_share
  )
  found = preparation_report.over_budget(counts, config, ["ks"])
  assert len(found) == len(named)
  for sentence, part in zip(found, named, strict=True):
    assert part in sentence
    assert "1 of 4" in sentence


def test_the_budget_is_of_the_datasets_prepared_now(tmp_path):
  counts = _counts(tmp_path, ["ok", "bad_audio"])
  counts.splits["s4", "train"] = {**counts.splits["ks", "train"], "records": 2}
  config = configs.Preparation()
  assert preparation_report.over_budget(counts, config, ["s4"]) == []
  assert preparation_report.over_budget(counts, config, ["s4", "ks"])


def test_the_table_has_a_column_for_every_status(tmp_path):
  lines = preparation_report.table(
    _counts(tmp_path, ["ok", "missing_key", "ok"])
  ).splitlines()
  assert lines[0].split() == (
    ["dataset", "split", "rows", "records", "ok", "missing_key", "MB"]
  )
  assert lines[1].split() == ["ks", "train", "3", "2", "2", "1", "0.0"]
  assert lines[2].split() == ["all", "3", "2", "2", "1", "0.0"]


def _of_lines(out, *lines):
  shard = journal.Shard("ks", "test", 0, 1, 0, list(lines))
  with journal.Writer(shard, out, {}) as writer:
    for row, line in enumerate(lines):
      writer.add({"id": f"ks/test/{row}", "reason": "why", **line}, b"x")
    writer.finish()
  return preparation_report.Counts([shard], out)


def test_a_row_of_two_statuses_is_in_both(tmp_path):
  both = {"status": "bad_reference", "also": ["no_mask"]}
  counts = _of_lines(tmp_path, both, {"status": "ok"})
  assert counts.datasets()["ks"]["test"]["statuses"] == {
    "bad_reference": 1,
    "no_mask": 1,
    "ok": 1,
  }
  assert counts.bad_rows() == []
  text = preparation_report.named_rows(counts)
  assert text == (
    "bad_reference: 1\n  ks/test/0  why\nno_mask: 1\n  ks/test/0  why"
  )


def test_lost_sound_is_counted_and_told(tmp_path):
  fed = {"status": "ok", "window_seconds": 301.5, "heard_seconds": 300.0}
  counts = _of_lines(tmp_path, fed, {"status": "ok", "cut_seconds": 2.0}, fed)
  found = counts.datasets()["ks"]["test"]
  assert (found["unheard"], found["unheard_seconds"]) == (2, 3.0)
  lines = preparation_report.audio_losses(counts).splitlines()
  assert lines == [
    "ks test: 2.0 s of sound cut by max_audio_seconds",
    "ks test: 2 records have more than 300 s of sound; a model hears the first"
    " 300 s, 3.0 s are not heard",
  ]
  assert preparation_report.audio_losses(_counts(tmp_path, ["ok"])) == ""


def test_the_first_twenty_of_a_status_are_named(tmp_path):
  counts = _counts(tmp_path, ["ok"] + ["bad_image"] * 25)
  text = preparation_report.named_rows(counts)
  assert text.startswith("bad_image: 25\n  ks/train/1  why\n")
  assert "ks/train/20" in text
  assert "ks/train/21" not in text
