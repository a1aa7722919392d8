"""The frozen backbone that all runs of a study share.

It is `Experiment.base` where that is set; else the experiment's own stages
that train the base are run, in {workdir}/backbone.
"""

import dataclasses
import time

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.ablation import manifest as manifest_lib
from crab_jax.data import tasks
from crab_jax.experiment import run
from crab_jax.experiment import setup
from crab_jax.training import model_folder
from crab_jax.training import preemption

_CLAIM = "backbone"
_POLL = 5.0  # seconds


def make(
  experiment: configs.Experiment,
  workdir: files.Path,
  config_text: str,
  manifest: manifest_lib.Manifest,
  handler: preemption.Handler,
  given: tasks.Tasks | None = None,
) -> tuple[setup.Workspace, array_types.Tree] | None:
  """Records, tokenizer and parameters; trains what is not there yet.

  Of several machines one trains, the others wait for it.

  Returns:
    None: SIGTERM stopped the training; a later start goes on from there.

  Raises:
    UserError: no base and no stage that trains one.
  """
  settings = _settings(experiment)
  folder = workdir / "backbone"
  while not manifest.claim(_CLAIM):
    print("another machine makes the backbone; waiting for it", flush=True)
    time.sleep(_POLL)
  with manifest.holding(_CLAIM):
    workspace = setup.prepare(settings, folder, config_text, given)
    if experiment.base is not None:
      return workspace, model_folder.load_params(files.path(experiment.base))
    made = (folder / "base").is_dir()
    if not made and run.train(settings, workspace, handler) is None:
      return None
    return workspace, model_folder.load_params(folder / "base")


def _settings(experiment: configs.Experiment) -> configs.Experiment:
  """The experiment that makes the backbone."""
  if experiment.base is not None:
    return experiment
  stages = [x for x in experiment.stages if "adapter" not in x.groups]
  if not stages:
    raise errors.UserError(
      "a study of transfer needs a backbone: set Experiment.base to a model"
      " folder, or give Experiment.stages one that does not train the adapter"
    )
  return dataclasses.replace(experiment, stages=stages)
