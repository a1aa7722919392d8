"""A whole run: data, stages of training, held-out answers, report.

  {workdir}/config.gin      the configuration in force
  {workdir}/world/          the embedded AV-UIE, when there is one
  {workdir}/records/        its records
  {workdir}/checkpoints/    {stage}/{step}, and {stage}.best where it is kept
  {workdir}/validation/     {stage}/{step}.jsonl: clips decoded while training
  {workdir}/base/           the frozen model: parameters, tokenizer
  {workdir}/adapter/        what tuning added to it
  {workdir}/metrics.jsonl, tensorboard/
  {workdir}/compiled/       compiled programs, for a quick restart
  {workdir}/profile/        traces of steps, when they are wanted
  {workdir}/predictions/    a file a dataset
  {workdir}/report.html, report.md, report.json

Every part that is complete is left as it is, so the same command goes on where
a stopped run was.
"""

import dataclasses
import functools
import importlib.metadata
import pathlib
import shutil

import jax
import numpy as np
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax.data import loader
from crab_jax.data import pipeline
from crab_jax.data import preparation
from crab_jax.data import prompts
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import assessment
from crab_jax.evaluation import spot_check
from crab_jax.models import thinker
from crab_jax.synthetic import build
from crab_jax.training import checkpoint
from crab_jax.training import compilation
from crab_jax.training import hosts
from crab_jax.training import losses
from crab_jax.training import meshed
from crab_jax.training import metrics
from crab_jax.training import monitor
from crab_jax.training import optim
from crab_jax.training import preemption
from crab_jax.training import profiling
from crab_jax.training import state as state_lib
from crab_jax.training import trainer
from crab_jax.training import validation
from crab_jax.weights import adapter
from crab_jax.weights import base as base_lib

TASK_NAMES = tuple(task.name for task in tasks.TASKS)


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a run lies and what it reads."""

  workdir: pathlib.Path
  records: pathlib.Path
  tokenizer: tokenizers.Tokenizer


@dataclasses.dataclass(frozen=True)
class Watches:
  """What looks at a run while it trains."""

  notice: preemption.Notice
  writer: metrics.Writer
  profile: profiling.Window | None = None  # steps of every stage to trace


def run(
  experiment: configs.Experiment,
  workdir: pathlib.Path,
  config_text: str,
  *,
  notice: preemption.Notice,
  profile: profiling.Window | None = None,
) -> None:
  """Does what is not done yet of an experiment; prints where the report is.

  Args:
    experiment: the settings.
    workdir: the folder of the run; several hosts must see the same.
    config_text: the configuration in force, kept beside the results.
    notice: of a preemption.
    profile: steps of every stage to trace.

  Raises:
    UserError: whatever a user can cause.
  """
  place = prepare(experiment, workdir, config_text)
  params = train(experiment, place, notice, profile)
  if params is None:
    return
  report = _evaluate(experiment, params, place)
  if hosts.is_first():
    print(f"report: {report}")


def prepare(
  experiment: configs.Experiment, workdir: pathlib.Path, config_text: str
) -> Place:
  """Makes what training reads: records and a tokenizer. See `run`."""
  _meet(config_text)
  with hosts.first_then_others("preparation"):
    _begin(workdir, config_text)
    root = _records(experiment, workdir)
    place = Place(workdir, root, _tokenizer(experiment, workdir, root))
  hosts.compare("data", {"data manifest": records.manifest(root)})
  if folder := _compiled(experiment, workdir):
    compilation.keep_in(folder)
  return place


def train(
  experiment: configs.Experiment,
  place: Place,
  notice: preemption.Notice,
  profile: profiling.Window | None = None,
) -> array_types.Tree | None:
  """Trains all stages and keeps the result; None: it was told to stop."""
  writer = metrics.Writer(
    place.workdir, experiment.logging, silent=not hosts.is_first()
  )
  watches = Watches(notice, writer, profile)
  params = None
  try:
    for stage in experiment.stages:
      params = _train(experiment, stage, params, place, watches)
  except trainer.Stopped as stopped:
    print(f"{stopped}; the same command goes on from there")
    return None
  finally:
    writer.close()
  _keep(experiment, params, place)
  return params


def _meet(config_text: str) -> None:
  """Stops hosts that were not started alike, before they wait for each other.

  Raises:
    UserError: two hosts differ; names what differs.
  """
  versions = {
    f"version of {name}": importlib.metadata.version(name)
    for name in ("crab_jax", "jax", "jaxlib")
  }
  hosts.compare(
    "start",
    {
      "number of hosts": str(hosts.count()),
      **versions,
      "configuration": config_text,
    },
  )
  devices = {"kind of device": jax.local_devices()[0].device_kind}
  devices["number of devices"] = str(jax.local_device_count())
  hosts.compare("devices", devices)


def _compiled(
  experiment: configs.Experiment, workdir: pathlib.Path
) -> pathlib.Path | None:
  """The folder of compiled programs."""
  wanted = experiment.compiled
  if wanted == "off":
    return None
  return workdir / "compiled" if wanted is None else pathlib.Path(wanted)


def _begin(workdir: pathlib.Path, config_text: str) -> None:
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if hosts.is_first():
      (workdir / "config.gin").write_text(config_text)
  except OSError as error:
    raise errors.UserError(f"cannot write to {workdir}: {error}") from error


def _records(
  experiment: configs.Experiment, workdir: pathlib.Path
) -> pathlib.Path:
  """The folder of records; makes those of the embedded world."""
  if experiment.records is not None:
    root = pathlib.Path(experiment.records)
    records.splits(root)  # raises if it is none
    return root
  build.write(workdir / "world", experiment.world)
  root = workdir / "records"
  preparation.prepare(
    workdir / "world" / build.FOLDER, root, config=experiment.preparation
  )
  return root


def _tokenizer(
  experiment: configs.Experiment, workdir: pathlib.Path, root: pathlib.Path
) -> tokenizers.Tokenizer:
  """The given tokenizer, or one trained on the texts of the records."""
  path = workdir / base_lib.TOKENIZER
  if experiment.data.tokenizer is not None:
    shutil.copyfile(experiment.data.tokenizer, path)
  if not path.exists():
    wording = prompts.load(experiment.data.prompts)
    found = (
      record
      for task in records.splits(root)
      for record in records.read_split(root, task, "train")
    )
    texts = samples.training_texts(found, wording)
    size = experiment.model.decoder.vocabulary
    tokenizers.train(texts, size).save(path)
  return tokenizers.load(path)


def _stage_model(
  experiment: configs.Experiment, stage: configs.Stage
) -> configs.Model:
  """The model of a stage: without the adapter while the base trains."""
  if stage.trains == "adapter":
    return experiment.model
  return dataclasses.replace(experiment.model, adapter=None)


def _base(
  experiment: configs.Experiment, runner: trainer.Runner
) -> array_types.Tree:
  """The parameters that training starts from.

  Over a mesh every device is given its own parts, and no host holds more.
  """
  if experiment.base is not None:
    over_mesh = isinstance(runner, meshed.Meshed)
    return checkpoint.load_params(
      pathlib.Path(experiment.base),
      runner.placed_shapes if over_mesh else None,
    )
  model = dataclasses.replace(experiment.model, adapter=None)
  return runner.born(
    lambda key: nn.meta.unbox(thinker.init(key, model)),
    jax.random.key(experiment.seed),
  )


def _with_adapter(
  model: configs.Model,
  params: array_types.Tree,
  seed: int,
  runner: trainer.Runner,
) -> array_types.Tree:
  """The parameters with a fresh adapter beside them."""

  def make(key):
    made = nn.meta.unbox(thinker.init(key, model))
    return state_lib.split(made, "adapter")[0]

  return state_lib.merge(params, runner.born(make, jax.random.key(seed + 1)))


def _train(
  experiment: configs.Experiment,
  stage: configs.Stage,
  params: array_types.Tree | None,
  place: Place,
  watches: Watches,
) -> array_types.Tree:
  """All parameters after a stage; `params` None: before the first."""
  model = _stage_model(experiment, stage)
  optimizer = optim.optimizer(stage.optimizer, stage.steps)
  runner = meshed.runner(
    stage.rows.rows,
    stage.accumulate,
    mesh=experiment.mesh,
    model=model,
    likelihood=losses.likelihood(model),
    optimizer=optimizer,
    tasks=len(tasks.TASKS),
  )
  if params is None:
    params = _base(experiment, runner)
  if stage.trains == "adapter":
    params = _with_adapter(model, params, experiment.seed, runner)
  print(f"stage {stage.name}: {stage.steps} steps")
  print(state_lib.describe(params, stage.trains), flush=True)
  trained, frozen = state_lib.split(params, stage.trains)
  loop = _loop(experiment, stage, model, runner, place, watches)
  state = runner.born(
    lambda leaves: state_lib.create(leaves, optimizer), trained
  )
  try:
    state = loop.run(state, frozen, jax.random.key(experiment.seed))
    if loop.validator is not None:
      state = loop.validator.best_of(state, runner.to_restore(state))
  finally:
    loop.loader.close()
    loop.checkpoints.close()
    if loop.validator is not None:
      loop.validator.close()
  for sample, reason in loop.loader.counters()["skipped_ids"].items():
    print(f"left out: {sample}: {reason}")
  return state_lib.merge(state.params, frozen)


def _loop(
  experiment: configs.Experiment,
  stage: configs.Stage,
  model: configs.Model,
  runner: trainer.Runner,
  place: Place,
  watches: Watches,
) -> trainer.Loop:
  return trainer.Loop(
    stage=stage,
    saving=experiment.saving,
    logging=experiment.logging,
    runner=runner,
    loader=_loader(experiment, stage, place),
    checkpoints=checkpoint.StageCheckpoints(
      place.workdir / "checkpoints" / stage.name, experiment.saving.keep
    ),
    writer=watches.writer,
    learning_rate=optim.schedule(stage.optimizer, stage.steps),
    task_names=TASK_NAMES,
    notice=watches.notice,
    profiler=profiling.Profiler(
      watches.profile, place.workdir / "profile" / stage.name
    ),
    validator=_validator(experiment, stage, model, runner, place),
    monitor=monitor.of(model, len(tasks.TASKS)),
  )


def _validator(
  experiment: configs.Experiment,
  stage: configs.Stage,
  model: configs.Model,
  runner,
  place: Place,
) -> validation.Validator | None:
  """What validates a stage; None where nothing does."""
  config = experiment.validation
  if not config.every:
    return None
  mixture = stage.mixture or dict.fromkeys(TASK_NAMES, 1.0)
  held = {
    task: mixture[task]
    for task, sizes in records.splits(place.records).items()
    if sizes.get("val") and mixture.get(task)
  }
  if not held:
    raise errors.UserError(
      f"Validation.every={config.every} needs a val split, and {place.records}"
      f" has none for stage {stage.name}: set it to 0"
    )
  quiet = losses.likelihood(model, dropout=False)
  batches = functools.partial(
    pipeline.one_pass,
    place.records,
    place.tokenizer,
    experiment.data,
    model,
    stage.rows,
    mixture=held,
    targets=stage.targets,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  check = best = None
  if config.clips:
    folder = place.workdir / "validation" / stage.name
    check = spot_check.make(
      place.records,
      place.tokenizer,
      experiment,
      model,
      tuple(held),
      folder if jax.process_index() == 0 else None,
    )
  if config.best:
    folder = place.workdir / "checkpoints" / f"{stage.name}.best"
    best = validation.Best(folder, config.best)
  return validation.Validator(
    config,
    stage,
    measure=runner.measurer(quiet, len(tasks.TASKS)),
    batches=batches,
    processes=jax.process_count(),
    task_names=TASK_NAMES,
    check=check,
    best=best,
  )


def _loader(
  experiment: configs.Experiment, stage: configs.Stage, place: Place
) -> loader.Loader:
  return pipeline.train_loader(
    place.records,
    place.tokenizer,
    experiment.data,
    experiment.model,
    stage.rows,
    mixture=stage.mixture,
    targets=stage.targets,
    process_index=hosts.index(),
    process_count=hosts.count(),
    max_bad_share=experiment.data.max_bad_share,
    max_bad_task_share=experiment.data.max_bad_task_share,
  )


def _keep(
  experiment: configs.Experiment, params: array_types.Tree, place: Place
) -> None:
  """Writes the model folder `base` and, after tuning, `adapter`."""
  files = {base_lib.TOKENIZER: place.workdir / base_lib.TOKENIZER}
  tuned, base = state_lib.split(params, "adapter")
  plain = dataclasses.replace(experiment.model, adapter=None)
  checkpoint.save_model(place.workdir / "base", base, plain, files)
  if tuned:
    base = jax.tree.map(hosts.Gathered, base)
    fingerprint = adapter.fingerprint(base)  # one parameter at a time
    tuned = jax.tree.map(lambda leaf: np.asarray(hosts.Gathered(leaf)), tuned)
    if hosts.is_first():
      adapter.save(
        place.workdir / "adapter",
        tuned,
        experiment.model.adapter,
        fingerprint,
      )


def _evaluate(
  experiment: configs.Experiment, params: array_types.Tree, place: Place
) -> pathlib.Path:
  """Answers, scores and reports; returns the report's path."""
  last = experiment.stages[-1]
  model = _stage_model(experiment, last)
  steps = ", ".join(f"{s.name} {s.steps}" for s in experiment.stages)
  return assessment.assess(
    assessment.Subject(
      model, params, place.tokenizer, place.records, experiment.mesh
    ),
    experiment.data,
    experiment.evaluation,
    last.rows,
    place.workdir,
    {"steps": steps},
    metrics.read(place.workdir),
  )
