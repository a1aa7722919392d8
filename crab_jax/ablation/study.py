"""A whole study of transfer: backbone, every cell once, report.

  {workdir}/backbone/          the run that made the backbone and the records
  {workdir}/study.json         the settings; another study is refused
  {workdir}/cells/, claims/    see `ledger`
  {workdir}/report.json, report.md, plots/

The same command goes on where a stopped one was; given on several machines
that share the folder, they divide the cells among them.
"""

import dataclasses
import json
import time

import jax

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.ablation import backbone
from crab_jax.ablation import grid
from crab_jax.ablation import manifest as ledger_lib
from crab_jax.ablation import report
from crab_jax.ablation import run as run_lib
from crab_jax.data import tasks
from crab_jax.training import preemption
from crab_jax.weights import adapter

_POLL = 5.0  # seconds
_REPORT = "report"  # the claim of who writes it
_FACTS = "study.json"
_PLAN = "plan.json"  # name -> steps, for the table without a backbone


def begin(
  experiment: configs.Experiment,
  workdir: files.Path,
  config_text: str,
  handler: preemption.Handler,
) -> bool:
  """Makes the backbone, if it is not there; for the arguments see `run`.

  Returns:
    False: it was told to stop.

  Raises:
    UserError: whatever a user can cause.
  """
  ledger = _ledger(experiment, workdir)
  _keep_programs(workdir)
  made = backbone.make(experiment, workdir, config_text, ledger, handler)
  return made is not None


def run(
  experiment: configs.Experiment,
  workdir: files.Path,
  config_text: str,
  handler: preemption.Handler,
) -> None:
  """Does what is not done yet of a study; prints where the report is.

  Args:
    experiment: the settings, with `transfer`.
    workdir: the folder of the study.
    config_text: the configuration in force, kept beside the results.
    handler: of a preemption; the cell at work is begun again.

  Raises:
    UserError: whatever a user can cause.
  """
  ledger = _ledger(experiment, workdir)
  _keep_programs(workdir)
  made = backbone.make(experiment, workdir, config_text, ledger, handler)
  if made is None:
    return
  place, base = made
  bench = run_lib.Bench(experiment, place, base)
  cells = grid.cells(bench.study, bench.groups)
  _same_study(experiment, base, bench, workdir)
  steps = {cell.name: bench.steps(cell) for cell in cells}
  ledger_lib.write_whole(workdir / _PLAN, steps)
  print(table(ledger, steps), flush=True)
  while missing := [c for c in cells if ledger.result(c.name) is None]:
    if not _work(bench, ledger, missing, steps):
      time.sleep(_POLL)  # others are at work on all that is left
  if not ledger.claim(_REPORT):
    print("another process writes the report")
    return
  with ledger.holding(_REPORT):
    results = {
      cell: result
      for cell in cells
      if (result := ledger.result(cell.name)) is not None
    }
    path = report.write(workdir, bench.study, bench.groups, results)
  print(f"report: {path}")


def show(experiment: configs.Experiment, workdir: files.Path) -> None:
  """Prints what is done of a study and what is left; trains nothing.

  Raises:
    UserError: the study has not got as far as its plan.
  """
  path = workdir / _PLAN
  if not path.is_file():
    raise errors.UserError(
      f"{workdir} has no plan yet: the backbone comes first"
    )
  ledger = _ledger(experiment, workdir)
  print(table(ledger, json.loads(path.read_text())))


def draw(experiment: configs.Experiment, workdir: files.Path) -> None:
  """Writes the report of what is done of a study so far; trains nothing.

  Raises:
    UserError: no seed has all cells of the comparison.
  """
  path = workdir / _FACTS
  if not path.is_file():
    raise errors.UserError(f"{workdir} has no cells yet: the backbone first")
  ledger = _ledger(experiment, workdir)
  names = json.loads(path.read_text())["study"]["tasks"]
  groups = tasks.Tasks().by_family(names)
  results = {
    cell: result
    for cell in grid.cells(experiment.required_transfer, groups)
    if (result := ledger.result(cell.name)) is not None
  }
  done = grid.finished(experiment.required_transfer, groups, results)
  if done is None:
    raise errors.UserError(
      f"{workdir} has no seed whose comparison is done; see --status"
    )
  kept = {cell: results[cell] for cell in grid.cells(done, groups)}
  print(f"report: {report.write(workdir, done, groups, kept)}")


def _ledger(experiment: configs.Experiment, workdir: files.Path):
  if experiment.transfer is None:
    raise errors.UserError(
      "Experiment.transfer is not set: give --gin_file=gin/ablation/transfer.gin"
    )
  return ledger_lib.Ledger(workdir, 60 * experiment.transfer.claim_minutes)


def _keep_programs(workdir: files.Path) -> None:
  """Keeps compiled programs for the next start, if nobody said where.

  Programs for CPUs fit the machine that made them alone; jax's key knows it.
  """
  if jax.config.values["jax_compilation_cache_dir"] is None:
    folder = str(files.absolute(workdir / "programs"))
    jax.config.update("jax_compilation_cache_dir", folder)


def _same_study(
  experiment: configs.Experiment,
  base: array_types.Tree,
  bench: run_lib.Bench,
  workdir: files.Path,
) -> None:
  """Refuses a folder whose cells belong to other settings or weights.

  A longer list of methods, targets, seeds or pairs is the same study.
  """
  study = dataclasses.asdict(experiment.required_transfer)
  longer = ("methods", "targets", "seeds", "same_steps", "pairs")
  for name in (*longer, "claim_minutes", "memory"):
    study.pop(name)
  facts = {
    "study": {**study, "tasks": bench.tasks},
    "model": dataclasses.asdict(experiment.model),
    "data": dataclasses.asdict(experiment.data),
    "evaluation": dataclasses.asdict(experiment.evaluation),
    "backbone": adapter.fingerprint(base),
  }
  facts = json.loads(json.dumps(facts))
  path = workdir / _FACTS
  if not path.exists():
    ledger_lib.write_whole(path, facts)
  before = json.loads(path.read_text())
  changed = [name for name in facts if before.get(name) != facts[name]]
  if changed:
    raise errors.UserError(
      f"{workdir} holds cells of another study: its {', '.join(changed)}"
      " differ; take another --workdir, or remove this one"
    )


def _work(bench, ledger, missing: list[grid.Cell], steps) -> bool:
  """Runs the first cells that nobody else has; False: there were none."""
  worked = False
  for cell in missing:
    if ledger.result(cell.name) is not None or not ledger.claim(cell.name):
      continue
    with ledger.holding(cell.name):
      if ledger.result(cell.name) is not None:  # done just before our claim
        continue
      result = bench.run(cell)
      ledger.keep(cell.name, result)
    worked = True
    found = ledger.progress(steps)
    left = _left(found, 1 + len(found.running))  # this process, and the others
    print(
      f"{len(found.done)}/{len(steps)} {cell.name}: {result['steps']} steps,"
      f" {result['seconds']:.1f} s; left {left}",
      flush=True,
    )
  return worked


def table(ledger: ledger_lib.Ledger, steps: dict[str, int]) -> str:
  """What is done, what is left and how long it takes, a line a group."""
  found = ledger.progress(steps)
  states = {
    name: state
    for state in ("done", "running", "left")
    for name in getattr(found, state)
  }
  counts: dict[str, dict[str, int]] = {}
  for name, number in steps.items():
    targets, label, method, seed = name.split(".")[:4]
    kind = label if label == grid.ALL else "parts"
    group = f"{seed} {targets} {method} {kind}"
    row = counts.setdefault(
      group, {"cells": 0, "steps": 0, "done": 0, "running": 0, "left": 0}
    )
    row["cells"] += 1
    row["steps"] += number
    row[states[name]] += 1
  lines = [
    f"{'cells':<36}{'number':>8}{'steps':>8}{'done':>6}{'now':>5}{'left':>6}"
  ]
  lines += [
    f"{group:<36}{row['cells']:>8}{row['steps']:>8}{row['done']:>6}"
    f"{row['running']:>5}{row['left']:>6}"
    for group, row in counts.items()
  ]
  lines.append(
    f"{len(found.done)} of {len(steps)} cells done, {sum(steps.values())} steps"
    f" in all; left, one cell at a time: {_left(found, 1)}"
  )
  return "\n".join(lines)


def _left(found: ledger_lib.Progress, at_once: int) -> str:
  """In words, how long the rest takes so many processes."""
  seconds = found.seconds
  return ledger_lib.in_words(None if seconds is None else seconds / at_once)
