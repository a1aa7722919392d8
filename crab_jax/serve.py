r"""Serves a model for clips: OpenAI's protocol, and a page to drop clips on.

  python -m crab_jax.serve --checkpoint=runs/base/base \
    --adapter=runs/base/adapter

Then open http://127.0.0.1:8000, or ask it as any server of OpenAI's protocol
(base_url="http://127.0.0.1:8000/v1", model="crab:ave"). All tasks of a clip at
once: curl http://127.0.0.1:8000/v1/clips -F video=@clip.mp4 -F tasks=all.

It listens to this machine alone. --host=0.0.0.0 lets others ask and wants
--api_keys_file. Media are sent with a request or uploaded; it fetches nothing
unless --media_hosts names whom from. SIGTERM lets running answers end, then
exits with 0. Routes, limits and measurements: crab_jax/serving/README.md.
"""

import dataclasses
from typing import Any

from absl import flags

from crab_jax import cli
from crab_jax import configs
from crab_jax import errors

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A model folder.")
_ADAPTER = flags.DEFINE_string("adapter", None, "An adapter folder.")
_MASKS = flags.DEFINE_string(
  "masks", None, "A folder of convert sam2: places that answers name are drawn."
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "The address to listen at.")
_PORT = flags.DEFINE_integer("port", 8000, "0: one that is free.", 0, 65535)
_KEYS = flags.DEFINE_string(
  "api_keys_file",
  None,
  "Keys of clients, one a line; without it none is asked.",
)
_OPEN = flags.DEFINE_bool("open", False, "Let other machines ask without keys.")
_METRICS_PORT = flags.DEFINE_integer(
  "metrics_port", None, "A port for the metrics alone; default: /metrics.", 0
)
_ROOT_PATH = flags.DEFINE_string(
  "root_path", "", "The path below which a proxy shows the server."
)

_SLOTS = flags.DEFINE_integer(
  "slots", configs.Slots.slots, "Answers at the same time; 16 suits a TPU.", 1
)
_PROMPT = flags.DEFINE_integer(
  "prompt_tokens", configs.Slots.prompt_tokens, "Of the longest prompt.", 1
)
_ANSWER = flags.DEFINE_integer(
  "new_tokens", configs.Slots.new_tokens, "Of the longest answer.", 1
)
_DTYPE = flags.DEFINE_enum(
  "decode_dtype",
  None,
  ["bfloat16", "int8"],
  "How decoding reads the frozen projections; rare tokens then differ."
  " Default: as the model stores them.",
)

_MEDIA_HOSTS = flags.DEFINE_list(
  "media_hosts", [], "Names that media may be fetched from, by https."
)
_MEDIA_ROOT = flags.DEFINE_string(
  "media_root", None, "A folder whose files requests may name, file://..."
)
_ORIGINS = flags.DEFINE_list(
  "origins", [], "Pages of other servers that may ask: https://a.org."
)
_SYSTEM = flags.DEFINE_bool(
  "allow_system", False, "A system message replaces the model's own."
)
_BENCHMARK = flags.DEFINE_bool(
  "benchmark", False, "Honours ignore_eos, for measurements."
)
_LOG_TEXT = flags.DEFINE_bool("log_text", False, "Logs answers.")
_VLLM_NAMES = flags.DEFINE_bool(
  "vllm_names", False, "Metrics also under the names of vLLM's dashboards."
)
_LIMITS = flags.DEFINE_multi_string(
  "limit",
  [],
  "A number of configs/serving.py, NAME=VALUE: media_seconds=300; repeatable.",
)
_TASK_FILE = cli.define_task_file_flag()
_COMPILED = cli.define_compiled_flag()


def _numbers() -> dict[str, Any]:
  """The values of --limit by name.

  Raises:
    UserError: a name is none, or a value is no number of its kind.
  """
  kinds = {
    field.name: field.type
    for field in dataclasses.fields(configs.Serving)
    if field.type in (int, float)
  }
  found = {}
  for text in _LIMITS.value:
    name, _, value = text.partition("=")
    if name not in kinds:
      raise errors.UserError(f"--limit={text}: there are {', '.join(kinds)}")
    try:
      found[name] = kinds[name](value)
    except ValueError as error:
      raise errors.UserError(f"--limit={text}: {value!r} is no number") from (
        error
      )
  return found


def _limits() -> configs.Serving:
  try:
    return configs.Serving(
      media_hosts=tuple(_MEDIA_HOSTS.value),
      media_root=_MEDIA_ROOT.value,
      origins=tuple(_ORIGINS.value),
      allow_system=_SYSTEM.value,
      benchmark=_BENCHMARK.value,
      log_text=_LOG_TEXT.value,
      **_numbers(),
    )
  except ValueError as error:
    raise errors.UserError(f"--limit: {error}") from error


def main() -> None:
  checkpoint, limits = cli.required_path(_CHECKPOINT), _limits()
  slots = configs.Slots(
    slots=_SLOTS.value,
    prompt_tokens=_PROMPT.value,
    new_tokens=_ANSWER.value,
    decode_dtype=_DTYPE.value,
    queue=limits.queue,
  )
  # After the flags: these import jax, which takes seconds.
  try:
    from crab_jax.serving import keys
    from crab_jax.serving import running
  except ModuleNotFoundError as error:
    raise errors.UserError(
      f"{error.name} is missing: pip install 'crab_jax[serve]'"
    ) from error
  from crab_jax.evaluation.scoring import scores
  from crab_jax.training import compilation

  compilation.keep(_COMPILED.value)
  path = cli.path(_KEYS)
  running.run(
    running.Settings(
      checkpoint=checkpoint,
      adapter=cli.path(_ADAPTER),
      masks=cli.path(_MASKS),
      given=scores.own_tasks(cli.path(_TASK_FILE)),
      host=_HOST.value,
      port=_PORT.value,
      metrics_port=_METRICS_PORT.value,
      keys=keys.read(path) if path else (),
      is_open=_OPEN.value,
      root_path=_ROOT_PATH.value,
      vllm_names=_VLLM_NAMES.value,
      limits=limits,
      slots=slots,
    )
  )


if __name__ == "__main__":
  cli.run(main)
