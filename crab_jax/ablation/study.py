"""A whole study of transfer: backbone, every run once, report.

  {workdir}/backbone/          the run that made the backbone and the records
  {workdir}/study.json         the settings; another study is refused
  {workdir}/runs/, claims/     see `manifest`
  {workdir}/report.json, report.md, plots/

The same command goes on where a stopped one was; given on several machines
that share the folder, they divide the runs among them.
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
from crab_jax.ablation import manifest as manifest_lib
from crab_jax.ablation import progress
from crab_jax.ablation import rates
from crab_jax.ablation import report
from crab_jax.ablation import run as run_lib
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.training import preemption
from crab_jax.weights import adapter

_POLL = 5.0  # seconds
_REPORT = "report"  # the claim of who writes it
_FACTS = "study.json"
_TASKS = "tasks"  # key of the table of tasks in the facts
_PLAN = "plan.json"  # name -> steps, for the table without a backbone


def begin(
  experiment: configs.Experiment,
  workdir: files.Path,
  config_text: str,
  handler: preemption.Handler,
  given: tasks.Tasks | None = None,
) -> bool:
  """Makes the backbone, if it is not there; for the arguments see `run`.

  Returns:
    False: it was asked to stop.

  Raises:
    UserError: whatever a user can cause.
  """
  manifest = _manifest(experiment, workdir)
  _keep_programs(workdir)
  made = backbone.make(
    experiment, workdir, config_text, manifest, handler, given
  )
  return made is not None


def run(
  experiment: configs.Experiment,
  workdir: files.Path,
  config_text: str,
  handler: preemption.Handler,
  given: tasks.Tasks | None = None,
) -> None:
  """Does what is not done yet of a study; prints where the report is.

  Args:
    experiment: the settings, with `transfer`.
    workdir: the folder of the study.
    config_text: the configuration in force, kept beside the results.
    handler: of a preemption; the run at work is begun again.
    given: the table of the command's task file; None: it has none.

  Raises:
    UserError: whatever a user can cause.
  """
  manifest = _manifest(experiment, workdir)
  _keep_programs(workdir)
  made = backbone.make(
    experiment, workdir, config_text, manifest, handler, given
  )
  if made is None:
    return
  workspace, base = made
  executor = run_lib.Executor(experiment, workspace, base)
  runs = every(executor.study, executor.groups)
  _same_study(experiment, base, executor, workdir)
  steps = {run.name: executor.steps(run) for run in runs}
  manifest_lib.write_whole(workdir / _PLAN, steps)
  print(progress.table(manifest, steps), flush=True)
  while missing := [r for r in runs if manifest.result(r.name) is None]:
    if not _work(executor, manifest, missing, steps):
      time.sleep(_POLL)  # others are at work on all that remains
  if not manifest.claim(_REPORT):
    print("another process writes the report")
    return
  with manifest.holding(_REPORT):
    results = {
      run: result
      for run in runs
      if (result := manifest.result(run.name)) is not None
    }
    path = report.write(workdir, executor.study, executor.groups, results)
  print(f"report: {path}")


def every(study: configs.Transfer, groups: grid.Groups) -> list[grid.Run]:
  """All runs of a study in their order: the rates of its arms come first."""
  return [*rates.sweep(study, groups), *grid.runs(study, groups)]


def show(experiment: configs.Experiment, workdir: files.Path) -> None:
  """Prints what is done of a study and what remains; trains nothing.

  Raises:
    UserError: the study has not got as far as its plan.
  """
  path = workdir / _PLAN
  if not path.is_file():
    raise errors.UserError(
      f"{workdir} has no plan yet: the backbone comes first"
    )
  manifest = _manifest(experiment, workdir)
  print(progress.table(manifest, json.loads(path.read_text())))


def draw(experiment: configs.Experiment, workdir: files.Path) -> None:
  """Writes the report of what is done of a study so far; trains nothing.

  Raises:
    UserError: no seed has all runs of the comparison.
  """
  path = workdir / _FACTS
  if not path.is_file():
    raise errors.UserError(f"{workdir} has no runs yet: the backbone first")
  manifest = _manifest(experiment, workdir)
  facts = json.loads(path.read_text())
  known = _tasks_of(facts, f"the study {workdir}")
  groups = known.by_family(facts["study"]["tasks"])
  results = {
    run: result
    for run in every(experiment.required_transfer, groups)
    if (result := manifest.result(run.name)) is not None
  }
  done = grid.finished(experiment.required_transfer, groups, results)
  if done is None:
    raise errors.UserError(
      f"{workdir} has no seed whose comparison is done; see --status"
    )
  kept = {run: results[run] for run in every(done, groups) if run in results}
  print(f"report: {report.write(workdir, done, groups, kept)}")


def _manifest(experiment: configs.Experiment, workdir: files.Path):
  if experiment.transfer is None:
    raise errors.UserError(
      "Experiment.transfer is not set: give --gin_file=gin/ablation/transfer.gin"
    )
  return manifest_lib.Manifest(workdir, 60 * experiment.transfer.claim_minutes)


def _keep_programs(workdir: files.Path) -> None:
  """Keeps compiled programs for the next start, if nobody said where."""
  # Programs for CPUs fit only the machine that made them. Machines may still share
  # the folder: jax's key of a program knows its machine.
  if jax.config.values["jax_compilation_cache_dir"] is None:
    folder = str(files.absolute(workdir / "programs"))
    jax.config.update("jax_compilation_cache_dir", folder)


def _same_study(
  experiment: configs.Experiment,
  base: array_types.Tree,
  executor: run_lib.Executor,
  workdir: files.Path,
) -> None:
  """Refuses a folder whose runs belong to other settings, weights or tasks.

  A longer list of methods, targets, seeds or pairs is the same study.
  """
  study = dataclasses.asdict(experiment.required_transfer)
  longer = ("methods", "targets", "seeds", "same_steps", "pairs")
  curves = ("curves", "curve_samples")
  for name in (*longer, *curves, "claim_minutes", "cache_gb"):
    study.pop(name)
  if not study["rates"]:  # earlier versions knew none
    study.pop("rates")
    study.pop("rate_seeds")
  facts = {
    "study": {**study, "tasks": executor.tasks},
    "model": dataclasses.asdict(experiment.model),
    "data": dataclasses.asdict(experiment.data),
    "evaluation": dataclasses.asdict(experiment.evaluation),
    "backbone": adapter.fingerprint(base),
    _TASKS: task_files.to_json(
      {name: executor.table[name] for name in executor.tasks}
    ),
  }
  # As the file gives them back: tuples become lists.
  facts = json.loads(json.dumps(facts))
  path = workdir / _FACTS
  if not path.exists():
    manifest_lib.write_whole(path, facts)
  before = json.loads(path.read_text())
  there = f"the study {workdir}"
  _tasks_of(before, there).joined(executor.table, there, "the records")
  facts.pop(_TASKS)
  changed = [name for name in facts if before.get(name) != facts[name]]
  if changed:
    raise errors.UserError(
      f"{workdir} holds runs of another study: its {', '.join(changed)}"
      " differ; take another --workdir, or remove this one"
    )


def _tasks_of(facts: dict, origin: str) -> tasks.Tasks:
  """The table of a study; earlier versions knew the built-in tasks alone."""
  return task_files.read_table(facts.get(_TASKS, {}), origin)


def _work(executor, manifest, missing: list[grid.Run], steps) -> bool:
  """Runs the first runs that nobody else has; False: there were none."""
  worked = False
  for run in missing:
    rate = rates.chosen(
      executor.study,
      executor.groups,
      run,
      lambda trial: manifest.result(trial.name),
    )
    if rate is None:  # others are at work on the trials of its arm
      continue
    if manifest.result(run.name) is not None or not manifest.claim(run.name):
      continue
    with manifest.holding(run.name):
      # Another worker may have finished it before our claim.
      if manifest.result(run.name) is not None:
        continue
      result = executor.execute(run, rate)
      manifest.save(run.name, result)
    worked = True
    found = progress.of(manifest, steps)
    at_once = 1 + len(found.running)  # this process, and the others
    print(
      f"{len(found.done)}/{len(steps)} {run.name}: {result['steps']} steps,"
      f" {result['seconds']:.1f} s; remaining {found.duration(at_once)}",
      flush=True,
    )
  return worked
