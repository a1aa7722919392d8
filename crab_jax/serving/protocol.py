"""A chat request of OpenAI's protocol -> what it asks.

Pure: no file is read and nothing is fetched. Accepted are the parts `text`,
`image_url`, `video_url`, `audio_url`, `input_audio` and `file`; `model` is
"crab" for a question of the user's own and "crab:{task}" for that of a task.
"""

from collections.abc import Collection
from typing import NamedTuple

from crab_jax import configs
from crab_jax.data import tasks
from crab_jax.serving import asked
from crab_jax.serving import failures
from crab_jax.serving import fields
from crab_jax.serving import parts

MODEL = "crab"
# Known to clients, without meaning here, and not worth a header.
_TOLERATED = ("user", "metadata", "mm_processor_kwargs", "store")
# (key, values that ask for nothing); any other value is refused by name.
_UNSUPPORTED = {
  "n": (None, 1),
  "logprobs": (None, False),
  "top_logprobs": (None, 0),
  "tools": (None, []),
  "functions": (None, []),
  "response_format": (None, {"type": "text"}),
  "modalities": (None, ["text"]),
  "audio": (None,),
  "best_of": (None, 1),
  "echo": (None, False),
}
_STOPS, _LONGEST_STOP = 8, 64  # strings, characters
_SEEDS = 2**63  # seeds lie below, and not below minus it


class Rules(NamedTuple):
  """What a server accepts."""

  table: tasks.Tasks  # with the free question
  limits: configs.Serving
  max_new_tokens: int  # of an answer at most


def model_names(table: tasks.Tasks) -> list[str]:
  """The names that `model` may have."""
  names = [name for name in table if name != asked.FREE]
  return [MODEL, *(f"{MODEL}:{name}" for name in names)]


def chat(body: bytes, rules: Rules) -> asked.Asked:
  """Parses the body of POST /v1/chat/completions.

  Raises:
    Failure: 400 or 404; its param names the field.
  """
  tree = fields.parse(body)
  task = _task(tree, rules.table)
  _refuse_unsupported(tree)
  extra = tree.object("crab") or fields.Object({}, "crab")
  found = _messages(tree, rules)
  wording = _wording(found, extra, rules.table[task])
  options = tree.object("stream_options") or fields.Object({}, "stream_options")
  reasoning = tree.text("reasoning_format")
  if reasoning not in (None, "none", "split"):
    failures.invalid(
      "invalid_value",
      'reasoning_format must be "none" or "split"',
      "reasoning_format",
    )
  for name in _TOLERATED:
    tree.take(name)
  sampling = _sampling(tree, rules)
  gates, stream = extra.flag("gates"), tree.flag("stream")
  usage = [
    options.flag(name) for name in ("include_usage", "continuous_usage_stats")
  ]
  ignored = (
    *found.ignored,
    *tree.remaining(),
    *map(extra.where, extra.remaining()),
    *map(options.where, options.remaining()),
  )
  return asked.Asked(
    tasks=(task,),
    parts=found.parts,
    wording=wording,
    sampling=sampling,
    gates=gates,
    stream=stream,
    include_usage=usage[0],
    continuous_usage=usage[1],
    split_reasoning=reasoning == "split",
    ignored=tuple(dict.fromkeys(ignored)),
  )


def task_of(name: str, table: tasks.Tasks, param: str = "model") -> str:
  """The row that a model's name asks.

  Raises:
    Failure: 404; there is no such model.
  """
  if name == MODEL:
    return asked.FREE
  if name not in model_names(table):
    raise failures.Failure(
      404,
      "model_not_found",
      f"there is no model {name[:100]!r}; GET /v1/models lists them",
      param,
    )
  return name.removeprefix(f"{MODEL}:")


def _task(tree: fields.Object, table: tasks.Tasks) -> str:
  """The row of the table; `task` in the body stands for the model's suffix."""
  model, task = tree.text("model"), tree.text("task")
  if model is None:
    failures.invalid("missing_value", 'model is required: "crab"', "model")
  found = task_of(model, table)
  if task is None:
    return found
  named = task_of(f"{MODEL}:{task}", table, "task")
  if found not in (asked.FREE, named):
    failures.invalid(
      "invalid_value", f"task is {task} and model is {model}", "task"
    )
  return named


def _refuse_unsupported(tree: fields.Object) -> None:
  for name, idle in _UNSUPPORTED.items():
    value = tree.take(name)
    # 1 == True in Python, and JSON tells them apart.
    if not any(value == x and type(value) is type(x) for x in idle):
      failures.invalid(
        f"unsupported_{name}", f"{name} is not supported here", name
      )


class _Found(NamedTuple):
  """What the messages hold."""

  text: str  # of the last user turn
  parts: tuple[asked.Part, ...]
  history: tuple[asked.Turn, ...]
  system: str | None
  ignored: tuple[str, ...]


def _messages(tree: fields.Object, rules: Rules) -> _Found:
  values = tree.items("messages")
  if not values:
    failures.invalid("missing_value", "messages is required", "messages")
  history: list[tuple[str, asked.Turn, parts.Content]] = []
  system: str | None = None
  ignored: list[str] = []
  count, characters = 0, 0
  last = None
  for index, value in enumerate(values):
    message = fields.as_object(value, f"messages[{index}]")
    role = message.text("role")
    content = parts.read(message, rules.limits.content_parts - count)
    message.take("name")
    count += len(content.parts)
    characters += len(content.text)
    if characters > rules.limits.text_characters:
      failures.invalid(
        "too_long",
        f"the messages have over {rules.limits.text_characters} characters of"
        " text",
        "messages",
      )
    ignored += [*content.ignored, *map(message.where, message.remaining())]
    last = None
    if role in ("system", "developer"):
      if not rules.limits.allow_system:
        ignored.append(f"messages[{index}].{role}")
      else:
        system = content.text
    elif role == "user":
      last = content
    elif role != "assistant":
      failures.invalid(
        "unsupported_role",
        f"{message.where('role')} must be system, user or assistant",
        message.where("role"),
      )
    if role in ("user", "assistant"):
      history.append((message.path, asked.Turn(role, content.text), content))
  if last is None:
    failures.invalid(
      "invalid_value", "the last message must be of the user", "messages"
    )
  for path, _, content in history[:-1]:
    if content.parts:
      failures.invalid(
        "unsupported_history",
        f"{path}: media are taken from the last message only",
        path,
      )
  turns = tuple(turn for _, turn, _ in history[:-1])
  _check_counts(last.parts, rules.limits)
  return _Found(last.text, last.parts, turns, system, tuple(ignored))


def _check_counts(
  parts: Collection[asked.Part], limits: configs.Serving
) -> None:
  most = {
    "video": limits.videos,
    "audio": limits.audios,
    "image": limits.images,
  }
  for kind, limit in most.items():
    count = sum(part.kind == kind for part in parts)
    if count > limit:
      failures.invalid(
        "too_many_media",
        f"{count} parts of kind {kind}, at most {limit} are accepted",
        "messages",
      )


def _wording(
  found: _Found, extra: fields.Object, task: tasks.Task
) -> asked.Wording:
  """The question: of the text, or of the object `crab`, or the task's own."""
  given, options = extra.text("question"), extra.texts("options") or ()
  text = found.text.strip()
  if given is not None and text:
    failures.invalid(
      "invalid_value", "the question stands twice", "crab.question"
    )
  question = text or given
  check_question(task, question, options, "messages")
  if found.history and task.name != asked.FREE:
    failures.invalid(
      "unsupported_history",
      f"{MODEL}:{task.name} asks its own question, without earlier turns",
      "messages",
    )
  return asked.Wording(question, options, found.history, found.system)


def check_question(
  task: tasks.Task,
  question: str | None,
  options: tuple[str, ...],
  param: str,
) -> None:
  """Checks that there is what the task asks for, and nothing else.

  Raises:
    Failure: 400.
  """
  wanted = task.question_keys("test")
  if question and not wanted:
    failures.invalid(
      "unexpected_text",
      f"{MODEL}:{task.name} asks its own question and takes no text",
      param,
    )
  if wanted and not question:
    failures.invalid(
      "missing_question", f"{task.name} needs a question, as text", param
    )
  if "options" in wanted and not options:
    failures.invalid(
      "missing_options", f"{task.name} needs crab.options", "crab.options"
    )


def _sampling(tree: fields.Object, rules: Rules) -> asked.Sampling:
  most = rules.max_new_tokens
  lengths = [
    tree.whole(name, 1, 2**31)
    for name in ("max_completion_tokens", "max_tokens")
  ]
  length = next((x for x in lengths if x is not None), None)
  if length is not None and length > most:
    failures.invalid(
      "too_long",
      f"at most {most} tokens are answered (--new_tokens)",
      "max_completion_tokens",
    )
  top_k = tree.whole("top_k", -1, 2**31)  # -1: off, for vLLM's clients
  ignore_eos = tree.flag("ignore_eos")
  top_p = tree.number("top_p", 0.0, 1.0)
  if top_p == 0:
    failures.invalid("invalid_value", "top_p must be over 0", "top_p")
  penalty = tree.number("repetition_penalty", 0.01, 100.0)
  return asked.Sampling(
    max_new_tokens=length,
    temperature=tree.number("temperature", 0.0, 100.0) or 0.0,
    top_p=1.0 if top_p is None else top_p,
    top_k=max(0, top_k or 0),
    seed=tree.whole("seed", -_SEEDS, _SEEDS - 1),
    repetition_penalty=1.0 if penalty is None else penalty,
    stop=_stops(tree),
    ignore_eos=ignore_eos and rules.limits.benchmark,
  )


def _stops(tree: fields.Object) -> tuple[str, ...]:
  value = tree.take("stop")
  if value is None:
    return ()
  if isinstance(value, str):
    value = [value]
  if not isinstance(value, list) or len(value) > _STOPS:
    failures.invalid(
      "invalid_value",
      f"stop must be a string or a list of at most {_STOPS}",
      "stop",
    )
  found = tuple(fields.as_text(x, f"stop[{i}]") for i, x in enumerate(value))
  if any(not 0 < len(text) <= _LONGEST_STOP for text in found):
    failures.invalid(
      "invalid_value",
      f"a stop string has 1 to {_LONGEST_STOP} characters",
      "stop",
    )
  return found
