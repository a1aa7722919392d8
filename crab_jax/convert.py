"""Weights in and out.

  python -m crab_jax.convert base --source=HF_DIR_OR_ID --out=DIR
      [--dtype=bfloat16]
  python -m crab_jax.convert base --base=LANGUAGE_MODEL --vision=CLIP
      --audio=BEATs.pt --out=DIR [--projectors=finetune_weights.bin]
  python -m crab_jax.convert base-export --source=MODEL --out=HF_DIR
  python -m crab_jax.convert adapter-import --source=FILE_OR_DIR
      --out=ADAPTER [--base=DIR] [--alpha=256]
  python -m crab_jax.convert adapter-export --source=ADAPTER_OR_MODEL
      --out=finetune_weights.bin [--dtype=bfloat16]
  python -m crab_jax.convert merge --source=ADAPTER --base=MODEL --out=MODEL
  python -m crab_jax.convert merge --source=MODEL_WITH_ADAPTER --out=MODEL
  python -m crab_jax.convert sam2 --source=DIR_OR_FILE_OR_ID --out=MASKS
  python -m crab_jax.convert sam2-export --source=MASKS --out=HF_DIR
  python -m crab_jax.convert inspect MODEL_OR_ADAPTER

`base` turns the safetensors of Qwen2.5-Omni (a local folder, or an id of the
Hugging Face hub, which is downloaded) into a model folder, or LLaMA-2 or Qwen2,
CLIP, BEATs and Q-Formers into one; `base-export` is the way back, for
transformers. `adapter-import` reads the official adapter file, or
a plain LoRA of PEFT, ms-swift or LLaMA-Factory as an adapter of one head,
without torch and without running what is in it, and checks it against --base;
`adapter-export` writes the official file. `merge` adds an adapter that does not
route to the kernels of its base. `sam2` reads a mask model, SAM 2.1, of
transformers or as a released .pt file, for --masks of evaluate and predict;
`sam2-export` is the way back to transformers. The folder that a command writes is
complete or not there. `inspect` writes nothing: it prints what a folder holds,
for a bug report.
"""

import sys

from absl import flags

from crab_jax import cli
from crab_jax import errors
from crab_jax import files

# command -> its flags besides --source and --out.
_COMMANDS = {
  "base": ("dtype", "base", "vision", "audio", "projectors", "projector"),
  "adapter-import": ("base", "alpha"),
  "adapter-export": ("dtype",),
  "merge": ("base",),
  "base-export": (),
  "sam2": (),
  "sam2-export": (),
  "inspect": (),
}
_SOURCE = flags.DEFINE_string("source", None, "What to read.")
_OUT = flags.DEFINE_string("out", None, "What to write.")
_BASE = flags.DEFINE_string(
  "base",
  None,
  "adapter-import: the model folder that it must fit; merge: the one that an"
  " adapter folder is merged into.",
)
_ALPHA = flags.DEFINE_float(
  "alpha",
  None,
  "adapter-import: of the official file's run; absent: twice the rank.",
)
_VISION = flags.DEFINE_string(
  "vision",
  None,
  "base, of CLIP + BEATs + Q-Formers: the folder of CLIP; --source, or --base,"
  " is then the language model.",
)
_AUDIO = flags.DEFINE_string("audio", None, "base: BEATs' torch file.")
_PROJECTORS = flags.DEFINE_list(
  "projectors",
  [],
  "base: torch files of projectors; absent: they are drawn.",
)
_PROJECTOR = flags.DEFINE_string(
  "projector",
  None,
  "base: what turns frames into tokens: qformer, stc or pooled; absent: qformer."
  " Only the first can be read from --projectors.",
)
_DTYPE = flags.DEFINE_string(
  "dtype",
  None,
  "base, adapter-export: float32, or bfloat16, which rounds; absent: the dtype"
  " that most of the checkpoint, or the adapter, has.",
)


def main(command: str) -> None:
  """Checks the values of the flags and runs the command."""
  if command not in _COMMANDS:
    raise errors.UserError(
      f"say what to convert: {', '.join(_COMMANDS)} (see --help)"
    )
  for flag in (_BASE, _ALPHA, _DTYPE, _VISION, _AUDIO, _PROJECTORS, _PROJECTOR):
    owners = [name for name, own in _COMMANDS.items() if flag.name in own]
    if command not in owners:
      cli.refuse(f"is for {', '.join(owners)}, not for {command}", flag)
  if command == "base" and (_VISION.value or _AUDIO.value):
    _convert_parts(cli.required_path(_OUT))
    return
  if command == "base":
    own = (_BASE, _PROJECTORS, _PROJECTOR)
    cli.refuse("is for a base with --vision and --audio", *own)
  if command == "inspect":
    cli.refuse("is for what writes, not for inspect", _OUT)
    _inspect(cli.required_path(_SOURCE))
    return
  source, out = cli.required(_SOURCE), cli.required_path(_OUT)
  # After the flags: it imports jax, which takes seconds.
  from crab_jax.experiment import conversion
  from crab_jax.experiment import mask_conversion

  if command == "base":
    conversion.convert_base(source, out, _DTYPE.value)
  elif command == "adapter-import":
    conversion.import_adapter(
      files.path(source), out, cli.path(_BASE), _ALPHA.value
    )
  elif command == "merge":
    conversion.merge(files.path(source), cli.path(_BASE), out)
  elif command == "base-export":
    conversion.export_base(files.path(source), out)
  elif command == "sam2":
    mask_conversion.convert(source, out)
  elif command == "sam2-export":
    mask_conversion.export(files.path(source), out)
  else:
    conversion.export_adapter(files.path(source), out, _DTYPE.value)


def _inspect(folder: files.Path) -> None:
  from crab_jax.experiment import inspection

  print(inspection.inspect(folder))


def _convert_parts(out: files.Path) -> None:
  """The command `base` where its parts come from sources of their own."""
  language_model = _SOURCE.value or _BASE.value
  if language_model is None or None in (_VISION.value, _AUDIO.value):
    raise errors.UserError(
      "a base of several parts needs --base=LANGUAGE_MODEL, --vision=CLIP and"
      " --audio=BEATs.pt"
    )
  from crab_jax.experiment import conversion

  conversion.convert_parts(
    language_model,
    cli.required(_VISION),
    cli.required_path(_AUDIO),
    tuple(files.path(name) for name in _PROJECTORS.value),
    out,
    _DTYPE.value,
    _PROJECTOR.value or "qformer",
  )


if __name__ == "__main__":
  # absl takes no argument without dashes, so the command goes first.
  named = len(sys.argv) > 1 and not sys.argv[1].startswith("-")
  chosen = sys.argv.pop(1) if named else ""
  if chosen == "inspect" and len(sys.argv) > 1 and sys.argv[1][0] != "-":
    sys.argv[1] = f"--source={sys.argv[1]}"
  cli.run(lambda: main(chosen))
