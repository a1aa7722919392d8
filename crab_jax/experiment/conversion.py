"""Weights in and out: checkpoints of Qwen2.5-Omni, official adapter files."""

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.training import model_folder
from crab_jax.training import streaming
from crab_jax.weights import adapter
from crab_jax.weights import adapter_files
from crab_jax.weights import base
from crab_jax.weights import official
from crab_jax.weights import peft


def convert_base(
  source: str, out: files.Path, dtype: str | None = None
) -> None:
  """A checkpoint of Qwen2.5-Omni -> a model folder.

  Args:
    source: a folder with safetensors, or an id of the Hugging Face hub.
    out: the model folder to write.
    dtype: of the parameters, "bfloat16" or "float32"; None: that of most.

  Raises:
    UserError: the checkpoint is not one, or damaged, or an unknown dtype.
  """
  _check_dtype(dtype)
  model_folder.check_replaceable(out)
  plan = base.plan(base.find(source), dtype)
  streaming.save(out, plan.leaves, plan.model, plan.files)
  size = sum(leaf.size for leaf in plan.leaves.values())
  print(f"{size:,} parameters ({plan.model.param_dtype}) in {out}")
  for note in plan.notes:
    print(f"note: {note}")
  for name in (base.TOKENIZER, base.CHAT_TEMPLATE):
    if name not in plan.files:
      print(f"note: {source} has no {name}, and so {out} has none")


def import_adapter(
  source: files.Path,
  out: files.Path,
  model: files.Path | None,
  alpha: float | None,
) -> None:
  """An adapter of others -> an adapter folder.

  Args:
    source: an official file, a LoRA of PEFT, or the folder of one.
    out: the adapter folder to write.
    model: the model folder that it must fit; None: it is not compared.
    alpha: of an official file's training run; None: twice the rank.

  Raises:
    UserError: the file is damaged, or does not fit the model.
  """
  config = None if model is None else model_folder.load_config(model)
  file = adapter_files.find(source)
  if adapter_files.is_peft(file):
    if alpha is not None:
      raise errors.UserError(f"--alpha: {file} has its own in {peft.SETTINGS}")
    params, settings = peft.read(file, config)
  else:
    params, settings = official.read(file, config, alpha)
  adapter.save(out, params, settings)
  print(f"from {file}: {adapter.summary(params, settings)}")


def export_adapter(
  source: files.Path, out: files.Path, dtype: str | None
) -> None:
  """An adapter folder, or a model folder with adapter -> the official file.

  Args:
    source: the folder.
    out: the file to write.
    dtype: a name of `official.DTYPES`; None: that of the adapter.

  Raises:
    UserError: there is no adapter, or an unknown dtype.
  """
  _check_dtype(dtype)
  params, settings = _adapter_of(source)
  official.write(out, params, settings, dtype)
  print(adapter.summary(params, settings))


def _check_dtype(dtype: str | None) -> None:
  if dtype is not None and dtype not in official.DTYPES:
    raise errors.UserError(
      f"--dtype={dtype}: there are {', '.join(official.DTYPES)}"
    )


def _adapter_of(
  folder: files.Path,
) -> tuple[array_types.Tree, configs.ILora]:
  if (folder / adapter.SETTINGS).is_file():
    return adapter.read(folder)[:2]
  settings = model_folder.load_config(folder).adapter
  if settings is None:
    raise errors.UserError(f"the model in {folder} has no adapter")
  return model_folder.load_params(folder), settings
