"""Weights in and out.

  python -m crab_jax.convert base --source=HF_DIR_OR_ID --out=DIR
  python -m crab_jax.convert adapter-import --source=finetune_weights.bin
      --out=ADAPTER [--base=DIR] [--alpha=256]
  python -m crab_jax.convert adapter-export --source=ADAPTER_OR_MODEL
      --out=finetune_weights.bin [--dtype=bfloat16]

`base` turns the safetensors of Qwen2.5-Omni (a local folder, or an id of the
Hugging Face hub, which is downloaded) into a model folder. `adapter-import`
reads the official adapter file without torch and without running what is in
it, and checks it against --base if that is given; `adapter-export` writes it.
"""

import pathlib
import sys
from typing import Any

from absl import flags

from crab_jax import cli
from crab_jax import errors
from crab_jax.training import model_folder
from crab_jax.training import streaming
from crab_jax.weights import adapter
from crab_jax.weights import base
from crab_jax.weights import official

# command -> its flags besides --source and --out.
_COMMANDS = {
  "base": (),
  "adapter-import": ("base", "alpha"),
  "adapter-export": ("dtype",),
}


def define_flags() -> None:
  """Defines the flags of all commands."""
  flags.DEFINE_string("source", None, "What to read.")
  flags.DEFINE_string("out", None, "What to write.")
  flags.DEFINE_string(
    "base", None, "adapter-import: the model folder that it must fit."
  )
  flags.DEFINE_float(
    "alpha", None, "adapter-import: of its run; absent: twice the rank."
  )
  flags.DEFINE_enum(
    "dtype",
    None,
    [*official.DTYPES],
    "adapter-export: bfloat16, as in the released file, rounds; absent: the"
    " dtype that the adapter has.",
  )


def convert_base(source: str, out: pathlib.Path) -> None:
  """A checkpoint of Qwen2.5-Omni -> a model folder."""
  model_folder.check_replaceable(out)
  plan = base.plan(base.find(source))
  streaming.save(out, plan.leaves, plan.model, plan.files)
  size = sum(leaf.size for leaf in plan.leaves.values())
  print(f"{size:,} parameters ({plan.model.param_dtype}) in {out}")
  for name in (base.TOKENIZER, base.CHAT_TEMPLATE):
    if name not in plan.files:
      print(f"note: {source} has no {name}, and so {out} has none")


def import_adapter(
  source: pathlib.Path,
  out: pathlib.Path,
  model: pathlib.Path | None,
  alpha: float | None,
) -> None:
  """The official adapter file -> an adapter folder."""
  config = None if model is None else model_folder.load_config(model)
  params, settings = official.read(source, config, alpha)
  adapter.save(out, params, settings)
  print(adapter.summary(params, settings))


def export_adapter(
  source: pathlib.Path, out: pathlib.Path, dtype: str | None
) -> None:
  """An adapter folder, or a model folder with adapter -> the official file."""
  params, settings = _adapter_of(source)
  official.write(out, params, settings, dtype)
  print(adapter.summary(params, settings))


def _adapter_of(folder: pathlib.Path):
  if (folder / adapter.SETTINGS).is_file():
    return adapter.read(folder)[:2]
  settings = model_folder.load_config(folder).adapter
  if settings is None:
    raise errors.UserError(f"the model in {folder} has no adapter")
  return model_folder.load_params(folder), settings


def main(command: str, values: dict[str, Any]) -> None:
  """Checks the values of the flags and runs the command."""
  if command not in _COMMANDS:
    raise errors.UserError(
      f"say what to convert: {', '.join(_COMMANDS)} (see --help)"
    )
  for name in ("source", "out"):
    if not values[name]:
      raise errors.UserError(f"--{name} is required (see --help)")
  for owner, names in _COMMANDS.items():
    for name in names:
      if owner != command and values[name] is not None:
        raise errors.UserError(f"--{name} is for {owner}, not for {command}")
  source, out = values["source"], pathlib.Path(values["out"])
  if command == "base":
    convert_base(source, out)
  elif command == "adapter-import":
    model = values["base"] and pathlib.Path(values["base"])
    import_adapter(pathlib.Path(source), out, model, values["alpha"])
  else:
    export_adapter(pathlib.Path(source), out, values["dtype"])


if __name__ == "__main__":
  define_flags()
  named = len(sys.argv) > 1 and not sys.argv[1].startswith("-")
  chosen = sys.argv.pop(1) if named else ""
  cli.run(lambda: main(chosen, flags.FLAGS.flag_values_dict()))
