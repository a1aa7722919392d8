"""The adapter in our own form: `adapter.safetensors` and `adapter.json`.

The tensors lie as in the parameter tree, under their paths, layers stacked;
the JSON file holds the settings (`configs.ILora`) and a fingerprint of the
base that the adapter was trained on. `official` has the other form.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from collections.abc import Mapping

import flax.traverse_util
import numpy as np
import safetensors
import safetensors.numpy
from flax import linen as nn

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.models import ilora
from crab_jax.paradigms import thinker

TENSORS = "adapter.safetensors"
SETTINGS = "adapter.json"
_SAMPLED = 16  # values of each base parameter in a fingerprint


# Flattened parameters by path, and places int64[N] in each -> the values there.
Sample = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def fingerprint(
  params: array_types.Tree,
  adapters: bool = False,
  values_at: Callable[..., Mapping[str, np.ndarray]] | None = None,
) -> str:
  """Tells one base from another: a hash of a few values of each parameter.

  Args:
    params: parameters as numpy arrays, or as `values_at` takes them.
    adapters: whether an adapter's count too; else they are left out.
    values_at: (parameters by path, places by path) -> values by path, for
      arrays that lie on several hosts (`hosts.values_at`).
  """
  flat = {
    path: leaf
    for path, leaf in flax.traverse_util.flatten_dict(params, sep="/").items()
    if adapters or not ilora.is_leaf(path)
  }
  return sampled_fingerprint(
    {path: leaf.size for path, leaf in flat.items()},
    functools.partial(values_at or _values_at, flat),
  )


def _values_at(
  flat: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  return {
    path: np.asarray(flat[path]).reshape(-1)[where]
    for path, where in places.items()
  }


def sampled_fingerprint(sizes: Mapping[str, int], sample: Sample) -> str:
  """The `fingerprint` of parameters that are not in memory.

  Args:
    sizes: elements of each parameter, by path.
    sample: reads them.
  """
  values = sample(
    {
      path: np.arange(0, size, max(size // _SAMPLED, 1))
      for path, size in sizes.items()
    }
  )
  digest = hashlib.sha256()
  for path in sorted(sizes):
    numbers = np.asarray(values[path]).astype(np.float32)
    digest.update(path.encode() + numbers.tobytes())
  return digest.hexdigest()


def save(
  folder: files.Path,
  params: array_types.Tree,
  config: configs.ILora,
  base: str | None = None,
  beside: Mapping[str, files.Path] | None = None,
) -> None:
  """Writes an adapter folder; replaces one that is there.

  Args:
    folder: to write.
    params: parameters; only the adapter's are saved, in their own dtype.
    config: the adapter's settings.
    base: the `fingerprint` of the base, if it is known.
    beside: further files, by the name that they get.

  Raises:
    UserError: `folder` is something else, or cannot be written.
  """
  if folder.exists() and not (folder / SETTINGS).is_file():
    raise errors.UserError(f"{folder} exists and is no adapter folder")
  tensors = {
    path: np.ascontiguousarray(leaf)
    for path, leaf in ilora.leaves(params).items()
  }
  settings = {"adapter": dataclasses.asdict(config), "base": base}
  try:
    with files.new_folder(folder, SETTINGS) as new:
      safetensors.numpy.save_file(tensors, new / TENSORS)
      files.write_json(new / SETTINGS, settings)
      for name, path in (beside or {}).items():
        files.copy(path, new / name)
  except (OSError, safetensors.SafetensorError) as error:
    raise errors.UserError(f"cannot write {folder}: {error}") from error


def read(
  folder: files.Path,
) -> tuple[array_types.Tree, configs.ILora, str | None]:
  """Parameters (numpy, as saved), settings and the base's fingerprint.

  Raises:
    UserError: the folder is no adapter, or a file of it is damaged.
  """
  path = folder / SETTINGS
  try:
    fields = json.loads(path.read_text())
    config = configs.ILora(**fields["adapter"])
    base = fields["base"]
    path = folder / TENSORS
    with files.local_folder(path) as local:
      flat = safetensors.numpy.load_file(local)
  except FileNotFoundError as error:
    raise errors.UserError(
      f"{folder} is no adapter folder: {path} is missing"
    ) from error
  except (OSError, ValueError, LookupError, TypeError) as error:
    raise errors.UserError(f"{path} is damaged: {error}") from error
  except safetensors.SafetensorError as error:
    raise errors.UserError(f"{path} is damaged: {error}") from error
  return flax.traverse_util.unflatten_dict(flat, sep="/"), config, base


def load(
  folder: files.Path,
  model: configs.Model,
  base: array_types.Tree | None = None,
) -> tuple[array_types.Tree, configs.Model]:
  """An adapter that fits a model.

  Args:
    folder: written by `save`.
    model: the base's configuration; if it has an adapter, of the same kind.
    base: the base's parameters, to compare their fingerprint.

  Returns:
    The adapter's parameters (numpy, as saved) and `model` with its settings.

  Raises:
    UserError: the adapter has another rank, other heads or targets, was made
      for another base, or is damaged.
  """
  params, config, made_on = read(folder)
  if model.adapter is not None:
    _compare(folder, config, model.adapter)
  model = dataclasses.replace(model, adapter=config)
  _check(folder, ilora.leaves(params), model)
  if base is not None and made_on not in (None, fingerprint(base)):
    raise errors.UserError(
      f"{folder} was trained on another base: the shapes agree, the values of"
      " the base do not"
    )
  return params, model


def _compare(folder, found: configs.ILora, wanted: configs.ILora) -> None:
  if differences := found.differences(wanted):
    raise errors.UserError(
      f"{folder} does not fit the configured adapter: it has"
      f" {', '.join(differences)}"
    )


def _check(folder, found: dict[str, np.ndarray], model: configs.Model) -> None:
  """Names, shapes and values, all that is wrong together."""
  expected = ilora.leaves(nn.meta.unbox(thinker.abstract(model)))
  problems = [f"{path} is missing" for path in expected if path not in found]
  problems += [
    f"{path} is unexpected" for path in found if path not in expected
  ]
  problems += [
    f"{path} has shape {list(found[path].shape)}, the base wants"
    f" {list(leaf.shape)}"
    for path, leaf in expected.items()
    if path in found and found[path].shape != leaf.shape
  ]
  problems += [f"{path} is not finite" for path in not_finite(found)]
  if problems:
    raise errors.UserError(
      f"{folder} does not fit this base: {'; '.join(problems)}"
    )


def not_finite(flat: dict[str, np.ndarray]) -> list[str]:
  """The paths that hold a NaN or an infinity."""
  with np.errstate(invalid="ignore"):  # a signalling NaN
    return [path for path, leaf in flat.items() if not np.isfinite(leaf).all()]


def summary(params: array_types.Tree, config: configs.ILora) -> str:
  """A table: adapted layers, parameters and the largest |B| of each tower."""
  towers: dict[str, list[ilora.Projection]] = {}
  sizes: dict[str, int] = {}
  for path, projection in ilora.projections(params).items():
    towers.setdefault(path.split("/")[0], []).append(projection)
  for path, leaf in ilora.leaves(params).items():
    tower = path.split("/")[0]
    sizes[tower] = sizes.get(tower, 0) + leaf.size
  lines = [
    f"rank {config.rank}, {config.heads} heads, alpha {config.alpha:g}",
    f"{'tower':<12} {'layers':>6} {'tensors':>7} {'parameters':>13}  max |B|",
  ]
  for tower, own in sorted(towers.items()):
    layers = sum(len(projection.a) for projection in own)
    largest = max(float(np.abs(projection.b).max()) for projection in own)
    lines.append(
      f"{tower:<12} {layers:>6} {layers * config.tensors:>7}"
      f" {sizes[tower]:>13,}  {largest:g}"
      + ("" if largest else "  (dead: every B is zero)")
    )
  return "\n".join(lines)
