"""A whole run: data, stages of training, held-out answers, report.

  {workdir}/config.gin      the configuration in force
  {workdir}/world/          the embedded AV-UIE, when there is one
  {workdir}/records/        its records
  {workdir}/checkpoints/    {stage}/{step}
  {workdir}/base/           the frozen model: parameters, tokenizer
  {workdir}/adapter/        what tuning added to it
  {workdir}/metrics.jsonl, tensorboard/
  {workdir}/predictions/    a file a dataset
  {workdir}/report.html, report.md, report.json

Every part that is complete is left as it is, so the same command goes on where
a stopped run was.
"""

import dataclasses
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
from crab_jax.models import thinker
from crab_jax.synthetic import build
from crab_jax.training import checkpoint
from crab_jax.training import losses
from crab_jax.training import meshed
from crab_jax.training import metrics
from crab_jax.training import optim
from crab_jax.training import state as state_lib
from crab_jax.training import trainer
from crab_jax.weights import adapter
from crab_jax.weights import base as base_lib

TASK_NAMES = tuple(task.name for task in tasks.TASKS)


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a run lies and what it reads."""

  workdir: pathlib.Path
  records: pathlib.Path
  tokenizer: tokenizers.Tokenizer


def run(
  experiment: configs.Experiment, workdir: pathlib.Path, config_text: str
) -> None:
  """Does what is not done yet of an experiment; prints where the report is.

  Args:
    experiment: the settings.
    workdir: the folder of the run.
    config_text: the configuration in force, kept beside the results.

  Raises:
    UserError: whatever a user can cause.
  """
  _begin(workdir, config_text)
  root = _records(experiment, workdir)
  place = Place(workdir, root, _tokenizer(experiment, workdir, root))
  writer = metrics.Writer(workdir, experiment.logging)
  params = _base(experiment)
  try:
    for stage in experiment.stages:
      params = _train(experiment, stage, params, place, writer)
  except trainer.Stopped as stopped:
    print(f"{stopped}; the same command goes on from there")
    return
  finally:
    writer.close()
  _keep(experiment, params, place)
  print(f"report: {_evaluate(experiment, params, place)}")


def _begin(workdir: pathlib.Path, config_text: str) -> None:
  try:
    workdir.mkdir(parents=True, exist_ok=True)
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


def _base(experiment: configs.Experiment) -> array_types.Tree:
  """The parameters that training starts from."""
  if experiment.base is not None:
    return checkpoint.load_params(pathlib.Path(experiment.base))
  model = dataclasses.replace(experiment.model, adapter=None)
  return _fresh(model, experiment.seed)


def _fresh(model: configs.Model, seed: int):
  make = jax.jit(lambda key: nn.meta.unbox(thinker.init(key, model)))
  return make(jax.random.key(seed))


def _with_adapter(model: configs.Model, params, seed: int):
  """The parameters with a fresh adapter beside them."""

  @jax.jit
  def make(key):
    return state_lib.split(nn.meta.unbox(thinker.init(key, model)), "adapter")[
      0
    ]

  return state_lib.merge(params, make(jax.random.key(seed + 1)))


def _train(
  experiment: configs.Experiment,
  stage: configs.Stage,
  params: array_types.Tree,
  place: Place,
  writer: metrics.Writer,
) -> array_types.Tree:
  """All parameters after a stage."""
  model = _stage_model(experiment, stage)
  if stage.trains == "adapter":
    params = _with_adapter(model, params, experiment.seed)
  print(f"stage {stage.name}: {stage.steps} steps")
  print(state_lib.describe(params, stage.trains), flush=True)
  trained, frozen = state_lib.split(params, stage.trains)
  optimizer = optim.optimizer(stage.optimizer, stage.steps)
  checkpoints = checkpoint.StageCheckpoints(
    place.workdir / "checkpoints" / stage.name, experiment.saving.keep
  )
  batches = _loader(experiment, stage, place)
  loop = trainer.Loop(
    stage=stage,
    saving=experiment.saving,
    logging=experiment.logging,
    runner=meshed.runner(
      stage.rows.rows,
      stage.accumulate,
      mesh=experiment.mesh,
      model=model,
      likelihood=losses.likelihood(model),
      optimizer=optimizer,
      tasks=len(tasks.TASKS),
    ),
    loader=batches,
    checkpoints=checkpoints,
    writer=writer,
    learning_rate=optim.schedule(stage.optimizer, stage.steps),
    task_names=TASK_NAMES,
  )
  state = state_lib.create(trained, optimizer)
  try:
    state = loop.run(state, frozen, jax.random.key(experiment.seed))
  finally:
    batches.close()
    checkpoints.close()
  for sample, reason in batches.counters()["skipped_ids"].items():
    print(f"left out: {sample}: {reason}")
  return state_lib.merge(state.params, frozen)


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
    process_index=jax.process_index(),
    process_count=jax.process_count(),
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
    base = jax.tree.map(np.asarray, base)
    adapter.save(
      place.workdir / "adapter",
      tuned,
      experiment.model.adapter,
      adapter.fingerprint(base),
    )


def _evaluate(
  experiment: configs.Experiment, params: array_types.Tree, place: Place
) -> pathlib.Path:
  """Answers, scores and reports; returns the report's path."""
  last = experiment.stages[-1]
  model = _stage_model(experiment, last)
  steps = ", ".join(f"{s.name} {s.steps}" for s in experiment.stages)
  return assessment.assess(
    assessment.Subject(model, params, place.tokenizer, place.records),
    experiment.data,
    experiment.evaluation,
    last.rows,
    place.workdir,
    {"steps": steps},
    metrics.read(place.workdir),
  )
