"""A study: every run once, whoever does it; the table; the same study only."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from crab_jax import errors
from crab_jax.ablation import backbone
from crab_jax.ablation import grid
from crab_jax.ablation import manifest as manifest_lib
from crab_jax.ablation import rates
from crab_jax.ablation import report
from crab_jax.ablation import run
from crab_jax.ablation import study
from crab_jax.data import task_files
from crab_jax.data import tasks
from tests.ablation import fake_runs
from tests.data import own_rows

_BASE = {"kernel": np.zeros(3, np.float32)}


class _Executor:
  """Does a run in no time; may be killed in the middle of the study."""

  done: list[str] = []
  rates: dict[str, float] = {}
  killed_after: int | None = None
  rows = (tasks.Tasks(), fake_runs.GROUPS)

  def __init__(self, experiment, workspace, base):
    self.study, (self.table, self.groups) = experiment.transfer, self.rows
    self.tasks = grid.datasets(self.groups)

  def steps(self, run):
    return 2 * len(run.tasks)

  def execute(self, run, rate):
    self.rates[run.name] = rate
    if len(self.done) == self.killed_after:
      raise KeyboardInterrupt
    self.done.append(run.name)
    return fake_runs.result(run, lambda *_: 0.5, self.loss)

  @staticmethod
  def loss(run, task):
    return 1.0


def _write(out, transfer, tasks, runs):
  """A report of what there is; the true one draws many pictures."""
  assert all(result["scores"] for result in runs.values())
  (out / "report.md").write_text(str(len(runs)))
  return out / "report.md"


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
  monkeypatch.setattr(_Executor, "done", [])
  monkeypatch.setattr(_Executor, "rates", {})
  monkeypatch.setattr(run, "Executor", _Executor)
  monkeypatch.setattr(backbone, "make", lambda *_: (None, _BASE))
  monkeypatch.setattr(report, "write", _write)
  # `run` keeps compiled programs there if nobody said where.
  before = jax.config.jax_compilation_cache_dir
  yield
  jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def experiment(small_study):
  return dataclasses.replace(small_study[0], transfer=fake_runs.STUDY)


def _run(experiment, workdir):
  study.run(experiment, workdir, "", handler=None)


def _runs(experiment):
  return [c.name for c in study.every(experiment.transfer, fake_runs.GROUPS)]


def test_every_run_is_done_once_in_order_and_reported(
  experiment, tmp_path, capsys
):
  _run(experiment, tmp_path)
  assert _Executor.done == _runs(experiment)
  said = capsys.readouterr().out
  number = len(_Executor.done)
  assert f"0 of {number} runs done" in said
  assert f"{number}/{number} {_Executor.done[-1]}" in said
  assert f"report: {tmp_path / 'report.md'}" in said
  assert not list((tmp_path / "claims").iterdir())


def test_a_killed_study_goes_on_where_it_was(experiment, tmp_path, monkeypatch):
  monkeypatch.setattr(_Executor, "killed_after", 3)
  with pytest.raises(KeyboardInterrupt):
    _run(experiment, tmp_path)
  monkeypatch.setattr(_Executor, "killed_after", None)
  _run(experiment, tmp_path)
  assert _Executor.done == _runs(experiment)


def test_runs_of_another_machine_are_left_to_it(
  experiment, tmp_path, monkeypatch
):
  """It is waited for; its run is read, not done again."""
  other = manifest_lib.Manifest(tmp_path, expiry=60)
  first = _runs(experiment)[0]
  assert other.claim(first)
  waits = []

  def finish(seconds):
    waits.append(seconds)
    run = next(iter(grid.runs(experiment.transfer, fake_runs.GROUPS)))
    result = fake_runs.result(run, lambda *_: 0.5, lambda *_: 1.0)
    other.save(first, result)
    other.release(first)

  monkeypatch.setattr(study.time, "sleep", finish)
  _run(experiment, tmp_path)
  assert len(waits) == 1
  assert first not in _Executor.done
  number = len(_runs(experiment))
  assert (tmp_path / "report.md").read_text() == str(number)


def test_the_report_is_left_to_the_process_that_writes_it(
  experiment, tmp_path, capsys
):
  other = manifest_lib.Manifest(tmp_path, expiry=60)
  assert other.claim("report")
  _run(experiment, tmp_path)
  assert not (tmp_path / "report.md").exists()
  assert "another process writes the report" in capsys.readouterr().out


def test_the_backbone_may_be_made_before_the_runs(
  experiment, tmp_path, monkeypatch
):
  assert study.begin(experiment, tmp_path, "", handler=None)
  assert not _Executor.done
  monkeypatch.setattr(backbone, "make", lambda *_: None)
  assert not study.begin(experiment, tmp_path, "", handler=None)


def test_a_study_that_was_told_to_stop_says_nothing(
  experiment, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(backbone, "make", lambda *_: None)
  _run(experiment, tmp_path)
  assert capsys.readouterr().out == ""
  assert not (tmp_path / "report.md").exists()


@pytest.mark.parametrize(
  ("changes", "culprit"),
  [
    ({"samples": 7}, "study"),
    ({"baseline": "ilora_e2"}, "study"),
    ({"rows": {"tokens": 99}}, "study"),
  ],
)
def test_another_study_is_refused(experiment, tmp_path, changes, culprit):
  _run(experiment, tmp_path)
  transfer = experiment.transfer
  if "rows" in changes:
    rows = dataclasses.replace(transfer.rows, **changes["rows"])
    changes = {"rows": rows}
  transfer = dataclasses.replace(transfer, **changes)
  other = dataclasses.replace(experiment, transfer=transfer)
  with pytest.raises(errors.UserError, match=f"another study: its {culprit}"):
    _run(other, tmp_path)


def test_another_backbone_is_refused(experiment, tmp_path, monkeypatch):
  _run(experiment, tmp_path)
  other = {"kernel": np.ones(3, np.float32)}
  monkeypatch.setattr(backbone, "make", lambda *_: (None, other))
  with pytest.raises(errors.UserError, match="its backbone differ"):
    _run(experiment, tmp_path)


def test_more_seeds_are_the_same_study(experiment, tmp_path):
  _run(experiment, tmp_path)
  before = len(_Executor.done)
  transfer = dataclasses.replace(
    experiment.transfer, seeds=(0, 1, 2), claim_minutes=3.0
  )
  _run(dataclasses.replace(experiment, transfer=transfer), tmp_path)
  new = _Executor.done[before:]
  assert new and all(name.split(".")[3] == "seed2" for name in new)


def test_the_table_says_what_is_done_what_remains_and_how_long_it_takes(
  experiment, tmp_path, capsys
):
  """Three joint runs of 6 steps in 3 s: half a second a step."""
  steps = {
    "reasoning.all.lora.seed0": 6,
    "reasoning.all.ilora_e2.seed0": 6,
    "reasoning.ks.lora.seed0": 120,
    "reasoning.meld.lora.seed0": 480,
  }
  manifest = manifest_lib.Manifest(tmp_path, expiry=60)
  for name in list(steps)[:2]:
    manifest.save(name, {"seconds": 3.0})
  manifest.claim("reasoning.ks.lora.seed0")
  (tmp_path / "plan.json").write_text(json.dumps(steps))
  study.show(experiment, tmp_path)
  head, *lines, last = capsys.readouterr().out.splitlines()
  assert head.split() == ["runs", "number", "steps", "done", "now", "remaining"]
  assert [line.split() for line in lines] == [
    ["seed0", "reasoning", "lora", "all", "1", "6", "1", "0", "0"],
    ["seed0", "reasoning", "ilora_e2", "all", "1", "6", "1", "0", "0"],
    ["seed0", "reasoning", "lora", "parts", "2", "600", "0", "1", "1"],
  ]
  assert last == (
    "2 of 4 runs done, 612 steps in all; remaining, one run at a time: 5 min"
  )


def test_a_report_of_what_is_done_so_far(
  experiment, tmp_path, monkeypatch, capsys
):
  """Of two seeds one is done, on one kind of targets: 2 + 3 runs."""
  monkeypatch.setattr(_Executor, "killed_after", 8)
  with pytest.raises(KeyboardInterrupt):
    _run(experiment, tmp_path)
  study.draw(experiment, tmp_path)
  assert f"report: {tmp_path / 'report.md'}" in capsys.readouterr().out
  assert (tmp_path / "report.md").read_text() == "5"
  assert len(_Executor.done) == 8


def test_less_than_a_seed_gives_no_report(experiment, tmp_path, monkeypatch):
  with pytest.raises(errors.UserError, match="the backbone first"):
    study.draw(experiment, tmp_path)
  monkeypatch.setattr(_Executor, "killed_after", 4)
  with pytest.raises(KeyboardInterrupt):
    _run(experiment, tmp_path)
  with pytest.raises(errors.UserError, match="no seed whose comparison"):
    study.draw(experiment, tmp_path)


def test_without_a_plan_there_is_no_table(experiment, tmp_path):
  with pytest.raises(errors.UserError, match="has no plan yet"):
    study.show(experiment, tmp_path)


@pytest.mark.parametrize("do", [study.show, _run])
def test_without_a_study_in_the_settings(experiment, tmp_path, do):
  (tmp_path / "plan.json").write_text("{}")
  plain = dataclasses.replace(experiment, transfer=None)
  with pytest.raises(
    errors.UserError, match=r"Experiment\.transfer is not set"
  ):
    do(plain, tmp_path)


def test_a_study_keeps_to_the_rows_of_its_tasks(
  experiment, tmp_path, monkeypatch
):
  def own(metric):
    row = {**own_rows.MACHINE, "metric": metric}
    return task_files.read_table({"machine": row}, "here")

  groups = {"action": ("ks", "machine"), "emotion": ("meld",)}
  monkeypatch.setattr(_Executor, "rows", (own("uar"), groups))
  _run(experiment, tmp_path)
  facts = json.loads((tmp_path / "study.json").read_text())
  assert facts["tasks"]["machine"] == own_rows.STORED_MACHINE
  study.draw(experiment, tmp_path)  # the family is that of the stored row
  monkeypatch.setattr(_Executor, "rows", (own("accuracy"), groups))
  with pytest.raises(
    errors.UserError, match='task machine differs: its "metric" is "uar" in'
  ):
    _run(experiment, tmp_path)


@pytest.fixture
def tuned(experiment):
  """A study in which every arm tries two rates on a seed of its own."""
  transfer = dataclasses.replace(
    experiment.transfer, rates=(1e-3, 1e-2), rate_seeds=(9,)
  )
  return dataclasses.replace(experiment, transfer=transfer)


def test_every_arm_trains_with_the_rate_of_its_least_loss(
  tuned, tmp_path, monkeypatch
):
  """A wide adapter wants the small rate, all else the large one."""

  def loss(run, task):
    small = run.method == "ilora_e2"
    return 1.0 if (run.rate == 1e-3) == small else 2.0

  monkeypatch.setattr(_Executor, "loss", staticmethod(loss))
  _run(tuned, tmp_path)
  assert _Executor.done == _runs(tuned)
  chosen = {
    (run.method, len(run.tasks) == 1): _Executor.rates[run.name]
    for run in grid.runs(tuned.transfer, fake_runs.GROUPS)
  }
  assert chosen.pop(("ilora_e2", True)) == 1e-3  # a family of one dataset
  assert chosen == {
    ("lora", False): 1e-2,
    ("lora", True): 1e-2,
    ("ilora_e2", False): 1e-3,
  }


def test_a_run_waits_for_the_trials_of_its_arm(tuned, tmp_path, monkeypatch):
  """Another machine has one of them: what depends on it comes last."""
  other = manifest_lib.Manifest(tmp_path, expiry=60)
  trial = rates.trials(tuned.transfer, fake_runs.GROUPS, "lora", 1e-2)[0]
  assert other.claim(trial.name)

  def finish(seconds):
    joint = [c for c in _Executor.done if ".rate" not in c]
    assert joint and not any(".all.lora." in name for name in joint)
    other.save(
      trial.name, fake_runs.result(trial, lambda *_: 0.5, lambda *_: 1)
    )
    other.release(trial.name)

  monkeypatch.setattr(study.time, "sleep", finish)
  _run(tuned, tmp_path)
  assert sorted([*_Executor.done, trial.name]) == sorted(_runs(tuned))


def test_other_rates_are_another_study(tuned, tmp_path):
  _run(tuned, tmp_path)
  transfer = dataclasses.replace(tuned.transfer, rates=(1e-3, 5e-3))
  with pytest.raises(errors.UserError, match="its study differ"):
    _run(dataclasses.replace(tuned, transfer=transfer), tmp_path)
