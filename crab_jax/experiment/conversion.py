"""Weights in and out: checkpoints of Qwen2.5-Omni, official adapter files."""

import dataclasses
import math

import flax.traverse_util
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.paradigms import thinker
from crab_jax.training import lazy_params
from crab_jax.training import model_folder
from crab_jax.training import streaming
from crab_jax.weights import adapter
from crab_jax.weights import adapter_files
from crab_jax.weights import base
from crab_jax.weights import base_export
from crab_jax.weights import encoder_projector
from crab_jax.weights import merging
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
  # Before the source is read, which takes minutes.
  model_folder.check_replaceable(out)
  # Of a bucket a copy on the disk: what is streamed is read piece by piece.
  with files.local_folder(base.find(source)) as folder:
    plan = base.plan(folder, dtype)
    _write(plan, out)
  _note_missing(plan, source, out, base.TOKENIZER, base.CHAT_TEMPLATE)


def convert_parts(
  language_model: str,
  vision: str,
  audio: files.Path,
  projectors: tuple[files.Path, ...],
  out: files.Path,
  dtype: str | None = None,
  vision_projector: str = "qformer",
) -> None:
  """A language model, CLIP, BEATs and Q-Formers -> a model folder.

  Args:
    language_model: a folder of LLaMA or Qwen2, or an id of the hub.
    vision: a folder of CLIP, or an id of the hub.
    audio: BEATs' torch file.
    projectors: torch files of projectors; none: they are drawn.
    out: the model folder to write.
    dtype: of the parameters, "bfloat16" or "float32"; None: that of most of the
      language model.
    vision_projector: "qformer", "stc" or "pooled".

  Raises:
    UserError: a source is none, or damaged, or an unknown dtype or projector.
  """
  _check_dtype(dtype)
  if vision_projector not in encoder_projector.UNIT_FRAMES:
    known = ", ".join(encoder_projector.UNIT_FRAMES)
    raise errors.UserError(
      f"--projector={vision_projector} must be one of {known}"
    )
  model_folder.check_replaceable(out)
  with (
    files.local_folder(base.find(language_model)) as text,
    files.local_folder(base.find(vision)) as clip,
  ):
    sources = encoder_projector.Sources(
      text, clip, audio, projectors, vision_projector
    )
    plan = encoder_projector.plan(sources, dtype)
    _write(plan, out)
  _note_missing(plan, language_model, out, base.TOKENIZER)


def _write(plan: base.Plan, out: files.Path) -> None:
  streaming.save(out, plan.leaves, plan.model, plan.files)
  size = sum(leaf.size for leaf in plan.leaves.values())
  print(f"{size:,} parameters ({plan.model.param_dtype}) in {out}")
  for note in plan.notes:
    print(f"note: {note}")


def _note_missing(
  plan: base.Plan, source: str, out: files.Path, *names: str
) -> None:
  for name in names:
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
  with files.local_folder(source) as local:
    _import_adapter(local, out, model, alpha)


def _import_adapter(
  source: files.Path,
  out: files.Path,
  model: files.Path | None,
  alpha: float | None,
) -> None:
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


def merge(
  source: files.Path, model: files.Path | None, out: files.Path
) -> None:
  """A base with an adapter that does not route -> a model folder without.

  Args:
    source: an adapter folder, or a model folder with an adapter.
    model: the model folder that an adapter folder is merged into.
    out: the model folder to write.

  Raises:
    UserError: the adapter routes, or does not fit the base.
  """
  if model is None and (source / adapter.SETTINGS).is_file():
    raise errors.UserError(f"{source} is an adapter folder: give --base too")
  folder = source if model is None else model
  model_folder.check_replaceable(out)
  # The leaves are read while the new folder is written.
  if out.exists() and any(files.is_same(out, x) for x in (source, folder)):
    raise errors.UserError(f"--out={out} is read; choose another name")
  config = model_folder.load_config(folder)
  if model is not None and config.adapter is not None:
    raise errors.UserError(f"the model in {model} has an adapter of its own")
  base_leaves = lazy_params.open_leaves(folder, _base_paths(config))
  if model is None:
    params, settings = _adapter_of(source)
  else:
    params, settings = _fitting_adapter(source, config, base_leaves)
  if reason := merging.obstacle(params, settings):
    raise errors.UserError(f"{source} cannot be merged: {reason}")
  streaming.save(
    out,
    merging.leaves(base_leaves, params, settings),
    dataclasses.replace(config, adapter=None),
    _texts(folder),
  )
  print(f"{adapter.summary(params, settings)}\nmerged, in {out}")


def _base_paths(config: configs.Model) -> list[str]:
  """The paths of a model's parameters, but for its adapter's."""
  bare = dataclasses.replace(config, adapter=None)
  tree = nn.meta.unbox(thinker.abstract(bare))
  return list(flax.traverse_util.flatten_dict(tree, sep="/"))


def _fitting_adapter(
  source: files.Path,
  config: configs.Model,
  leaves: dict[str, lazy_params.Leaf],
) -> tuple[array_types.Tree, configs.ILora]:
  """The adapter, compared with the base that it is to be merged into."""
  params, fitted = adapter.load(source, config)
  made_on = adapter.read(source)[2]
  if made_on is not None:
    found = adapter.sampled_fingerprint(
      {path: math.prod(leaf.shape) for path, leaf in leaves.items()},
      lambda places: {
        path: leaves[path].sample(where) for path, where in places.items()
      },
    )
    if found != made_on:
      raise errors.UserError(
        f"{source} was trained on another base: the shapes agree, the values of"
        " the base do not"
      )
  return params, fitted.required_adapter


def _texts(folder: files.Path) -> dict[str, str]:
  """Tokenizer and chat template of a model folder."""
  return {
    name: (folder / name).read_text()
    for name in (base.TOKENIZER, base.CHAT_TEMPLATE)
    if (folder / name).is_file()
  }


def export_base(source: files.Path, out: files.Path) -> None:
  """A model folder -> a folder that transformers loads.

  Args:
    source: a model folder without adapter.
    out: the folder to write; not there, or empty.

  Raises:
    UserError: the model has an adapter, or transformers has no such network.
  """
  base_export.check_free(out)
  config = model_folder.load_config(source)
  if config.adapter is not None:
    raise errors.UserError(
      f"the model in {source} has an adapter: merge it first (convert merge)"
    )
  leaves = lazy_params.open_leaves(source, _base_paths(config))
  texts = _texts(source)
  base_export.write(out, config, leaves, texts)
  size = sum(math.prod(leaf.shape) for leaf in leaves.values())
  print(f"{size:,} parameters ({config.param_dtype}) in {out}")
  if base.TOKENIZER not in texts:
    print(f"note: {source} has no {base.TOKENIZER}, and so {out} has none")


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
