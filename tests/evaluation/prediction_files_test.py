"""The files of one process or several: no row lost, none repeated."""

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation.scoring import scores


def _row(task, number, text="a"):
  return {"id": f"{task}/test/{number}", "task": task, "text": text}


def _write(folder, process, processes, *rows):
  folder.mkdir(exist_ok=True)
  journal = prediction_files.Journal(folder, process, processes)
  for row in rows:
    journal.write(row)


def test_one_process_writes_the_whole_file(tmp_path):
  _write(tmp_path, 0, 1, _row("ks", 1), _row("ave", 0))
  _write(tmp_path, 0, 1, _row("ks", 0))
  assert prediction_files.answered(tmp_path, tasks.Tasks()) == {
    "ks/test/0",
    "ks/test/1",
    "ave/test/0",
  }
  prediction_files.join(tmp_path, tasks.Tasks())
  rows = scores.read_rows(tmp_path / "ks.jsonl")
  assert rows == [_row("ks", 0), _row("ks", 1)]


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
  runs=st.lists(
    st.tuples(st.integers(1, 4), st.lists(st.integers(0, 11), max_size=4)),
    max_size=4,
  )
)
def test_any_number_of_processes_and_stops(tmp_path_factory, runs):
  """Each run has its number of processes and is stopped after a few rows."""
  folder = tmp_path_factory.mktemp("predictions")
  everything = [_row("ks", i) for i in range(12)]
  for processes, pace in [*runs, (1, []), (3, [])]:
    last = (processes, pace) == (3, [])
    done = prediction_files.answered(folder, tasks.Tasks())
    for process in range(processes):
      share = everything[process::processes]
      left = [row for row in share if row["id"] not in done]
      upto = len(left) if last else (pace[process:] or [1])[0]
      _write(folder, process, processes, *left[:upto])
      for path in folder.glob(f"*process-{process:05d}*"):
        with path.open("a") as file:
          file.write('{"id": "ks/test/3", "te')  # stopped in a line
  prediction_files.join(folder, tasks.Tasks())
  assert scores.read_rows(folder / "ks.jsonl") == everything
  assert [path.name for path in folder.iterdir()] == ["ks.jsonl"]


def test_a_stop_while_joining_repeats_nothing(tmp_path):
  _write(tmp_path, 1, 2, _row("ks", 1), _row("ks", 3))
  part = (tmp_path / "ks.process-00001.jsonl").read_bytes()
  prediction_files.join(tmp_path, tasks.Tasks())
  (tmp_path / "ks.process-00001.jsonl").write_bytes(part)  # not yet deleted
  prediction_files.join(tmp_path, tasks.Tasks())
  rows = scores.read_rows(tmp_path / "ks.jsonl")
  assert rows == [_row("ks", 1), _row("ks", 3)]


def test_a_cut_off_line_is_dropped_even_within_a_letter(tmp_path):
  _write(tmp_path, 0, 1, _row("ks", 0))
  with (tmp_path / "ks.jsonl").open("ab") as file:
    file.write('{"id": "ks/test/1", "text": "ü'.encode()[:-1])
  _write(tmp_path, 0, 1, _row("ks", 2))
  rows = scores.read_rows(tmp_path / "ks.jsonl")
  assert rows == [_row("ks", 0), _row("ks", 2)]


def test_any_text_can_be_written(tmp_path):
  row = _row("ks", 0, "\ud800 \x00 \u2028 é")
  _write(tmp_path, 0, 1, row)
  assert scores.read_rows(tmp_path / "ks.jsonl") == [row]


def test_a_folder_belongs_to_one_run(tmp_path):
  run = {"model": "abc", "max_new_tokens": 9}
  prediction_files.claim(tmp_path / "new", run, first=False)
  assert not list((tmp_path / "new").iterdir())
  prediction_files.claim(tmp_path / "new", run, first=True)
  assert json.loads((tmp_path / "new" / "run.json").read_text()) == run
  prediction_files.claim(tmp_path / "new", run, first=False)
  with pytest.raises(errors.UserError, match=r"another run \(model differ"):
    prediction_files.claim(tmp_path / "new", {**run, "model": "b"}, first=True)


def test_answers_of_another_model_make_way_on_request(tmp_path):
  folder = tmp_path / "predictions"
  run = {"model": "abc", "network": {"alpha": 1}, "seed": 1}
  for other in ({"model": "abd"}, {"network": {"alpha": 2}}):
    assert not prediction_files.drop_of_other_model(folder, run)
    prediction_files.claim(folder, run, first=True)
    _write(folder, 0, 1, _row("ks", 0, "x"))
    assert not prediction_files.drop_of_other_model(folder, {**run, "seed": 2})
    assert (folder / "ks.jsonl").is_file()
    assert prediction_files.drop_of_other_model(folder, {**run, **other})
    assert not folder.exists()


def test_a_folder_takes_more_datasets_but_not_other_records_of_one(tmp_path):
  run = {"model": "abc", "ks records": "ks-test = 9 bytes"}
  prediction_files.claim(tmp_path, run, first=True)
  prediction_files.claim(
    tmp_path, {"model": "abc", "ave records": "ave-test = 3 bytes"}, first=True
  )
  found = json.loads((tmp_path / "run.json").read_text())
  assert found == {**run, "ave records": "ave-test = 3 bytes"}
  with pytest.raises(errors.UserError, match=r"\(ks records differ"):
    prediction_files.claim(
      tmp_path, {**run, "ks records": "ks-test = 8 bytes"}, first=True
    )
