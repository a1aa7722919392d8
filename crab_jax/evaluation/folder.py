"""A model folder as a whole: configuration, parameters, tokenizer, adapter.

`training.model_folder` writes such folders, `convert` too; this reads one for
whoever wants answers of it.
"""

import dataclasses

import flax.traverse_util
import jax
import numpy as np
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import samples
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.paradigms import front
from crab_jax.paradigms import thinker
from crab_jax.training import model_folder
from crab_jax.training import state
from crab_jax.weights import adapter
from crab_jax.weights import base


@dataclasses.dataclass(frozen=True)
class Model:
  """What a model folder, and perhaps an adapter folder, hold."""

  config: configs.Model
  params: array_types.Tree
  tokenizer: tokenizers.Tokenizer
  chat_template: files.Path | None  # None: the folder has none
  table: tasks.Tasks  # with the tasks that it was trained on


def load(folder: files.Path, adapter_folder: files.Path | None) -> Model:
  """Reads a model folder.

  Args:
    folder: with parameters, configuration and tokenizer.
    adapter_folder: an adapter for it, or None.

  Raises:
    UserError: a part is missing, damaged, of another shape or not finite, or
      the adapter does not fit.
  """
  table = tasks_of(folder, adapter_folder)
  config = model_folder.load_config(folder)
  params = model_folder.load_params(folder)
  _require_shapes(folder, params, config)
  _require_finite(folder, params)
  if adapter_folder is not None:
    added, config = adapter.load(adapter_folder, config, params)
    _require_finite(adapter_folder, added)
    params = state.merge(params, added)
  template = folder / base.CHAT_TEMPLATE
  return Model(
    config,
    params,
    tokenizers.load(folder / base.TOKENIZER, front.of(config).grammar),
    template if template.is_file() else None,
    table,
  )


def sample_maker(model: Model, table: tasks.Tasks) -> samples.SampleMaker:
  """What makes prompts for a model.

  Args:
    model: of the folder.
    table: the tasks that may be asked.
  """
  template = model.chat_template
  data = configs.Data(
    chat_template=str(template) if template else None,
    positions_per_second=model.config.position_rate,
  )
  return samples.sample_maker(model.tokenizer, data, model.config, table)


def require_numbers(model: Model, table: tasks.Tasks) -> None:
  """Checks that a router that reads tasks finds them under their numbers.

  Args:
    model: of the folder.
    table: what the command counts by; it holds the model's tasks.

  Raises:
    UserError: the router reads tasks, and the numbers of two have moved.
  """
  if model.config.adapter is None or not model.config.adapter.reads_tasks:
    return
  moved = [n for n in model.table if table.number(n) != model.table.number(n)]
  if moved:
    new = [task.name for task in table.own if task.name not in model.table]
    raise errors.UserError(
      f"the adapter's router reads the numbers of tasks, and with"
      f" {', '.join(new)}, which it was not trained on, {moved[0]} has another:"
      " leave them out, or name them so that they come last"
    )


def tasks_of(
  folder: files.Path, adapter_folder: files.Path | None
) -> tasks.Tasks:
  """The table of tasks of a model folder and an adapter folder.

  Raises:
    UserError: a task of both differs, or a file is damaged.
  """
  table = task_files.read(folder / task_files.FILE)
  if adapter_folder is None:
    return table
  added = task_files.read(adapter_folder / task_files.FILE)
  here, there = f"the checkpoint {folder}", f"the adapter {adapter_folder}"
  return table.joined(added, here, there)


def _require_shapes(
  folder: files.Path, params: array_types.Tree, config: configs.Model
) -> None:
  """The parameters are those of the configuration beside them."""
  expected = flax.traverse_util.flatten_dict(
    nn.meta.unbox(thinker.abstract(config)), sep="/"
  )
  found = flax.traverse_util.flatten_dict(params, sep="/")
  for path in [*expected, *found]:
    wanted, got = (
      list(tree[path].shape) if path in tree else "absent"
      for tree in (expected, found)
    )
    if wanted != got:
      raise errors.UserError(
        f"{folder}: its {model_folder.CONFIG_FILE} is not that of its"
        f" parameters: {path} should be {wanted} and is {got}"
      )


def _require_finite(folder: files.Path, params: array_types.Tree) -> None:
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    # NaN and infinity survive a sum, which takes less memory than a mask of the
    # leaf; in float64 no sum of finite float32 overflows.
    if not np.isfinite(np.sum(leaf, dtype=np.float64)):
      name = jax.tree_util.keystr(path, simple=True, separator="/")
      raise errors.UserError(f"{folder}: {name} holds NaN or infinity")
