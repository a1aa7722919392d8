"""From system turn, media, question and answer to token ids and labels.

A conversation is rendered to one string, by the checkpoint's own chat
template where there is one, else by the grammar of its family:

  conversation := turn+ [generation header]

Then each placeholder is repeated to the number of its feature's tokens and
the string becomes ids. A text (question, answer, prompt) that contains the
characters of a special token keeps them as characters: it cannot end a turn
or ask for media. Supervised is what the grammar calls the answer.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Sequence

import jinja2
import jinja2.sandbox
import numpy as np

from crab_jax import errors
from crab_jax import files
from crab_jax.array_types import Int
from crab_jax.array_types import TokenKind
from crab_jax.array_types import UInt8
from crab_jax.data import grammar as grammars
from crab_jax.data import positions
from crab_jax.data import tokenizer as tokenizers

IGNORED = -100  # the label of a token that is not supervised

# Stands behind the first character of a special token inside a text, from
# rendering to tokenization (a private use character).
_GUARD = "\ue000"


@dataclasses.dataclass(frozen=True)
class Media:
  """A clip in a user turn."""

  kind: str  # "image", "video" or "audio"
  tokens: int  # of its feature
  # Units, rows, columns of its tokens; None: their positions count up.
  grid: tuple[int, int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A tokenized conversation.

  Attributes:
    tokens: int32[T].
    labels: int32[T]: the token itself where it is supervised, else -100.
    kinds: uint8[T]: `TokenKind`.
    runs: the pieces that `positions.position_ids` takes.
  """

  tokens: Int[np.ndarray, "T"]
  labels: Int[np.ndarray, "T"]
  kinds: UInt8[np.ndarray, "T"]
  runs: tuple[positions.Run, ...]


@dataclasses.dataclass(frozen=True)
class Chat:
  """How conversations become ids.

  Attributes:
    tokenizer: gives the ids, and the grammar.
    template: the source of a jinja2 chat template; None: the grammar.
  """

  tokenizer: tokenizers.Tokenizer
  template: str | None = None

  def render(
    self, system: str, items: Sequence[str | Media], answer: str | None = None
  ) -> str:
    """The conversation as a string, one placeholder for each clip.

    Args:
      system: text of the system turn.
      items: the user turn: texts and clips in order.
      answer: the assistant's turn; None: the generation header instead.
    """
    text = self._render(system, items, answer)
    return self._unguard(text.replace(grammars.CUT, ""))

  def encode(
    self, system: str, items: Sequence[str | Media], answer: str | None = None
  ) -> Encoded:
    """The conversation as ids; for the arguments see `render`.

    Raises:
      UserError: the template lost a clip, or the turn that it was given.
    """
    text = self._render(system, items, answer)
    media = [item for item in items if isinstance(item, Media)]
    line = _Line(self, media)
    for piece in self._specials().split(text):
      line.add(piece)
    return line.finish(supervised=answer is not None)

  def _render(self, system, items, answer) -> str:
    items = [
      item if isinstance(item, Media) else self._guard(item)
      for item in _merged(items)
    ]
    system = self._guard(system)
    if answer is not None:
      answer = self._guard(answer)
    if self.template is None:
      return _by_grammar(self.tokenizer.grammar, system, items, answer)
    return _by_template(self.template, system, items, answer)

  def _specials(self) -> re.Pattern:
    return _pattern((*self.tokenizer.ids, grammars.CUT))

  def _guard(self, text: str) -> str:
    return self._specials().sub(lambda m: m[0][0] + _GUARD + m[0][1:], text)

  def _unguard(self, text: str) -> str:
    marks = (*self.tokenizer.ids, grammars.CUT)
    guarded = _pattern(tuple(i[0] + _GUARD + i[1:] for i in marks))
    return guarded.sub(lambda m: m[0][0] + m[0][2:], text)


def _merged(items: Sequence[str | Media]) -> list[str | Media]:
  """Neighbouring texts as one: a special token may not lie across them."""
  merged: list[str | Media] = []
  for item in items:
    last = merged[-1] if merged else None
    if isinstance(item, str) and isinstance(last, str):
      merged[-1] = last + item
    else:
      merged.append(item)
  return merged


@functools.cache
def _pattern(tokens: tuple[str, ...]) -> re.Pattern:
  """Matches any of the tokens, the longest first, as one group."""
  # Of two tokens of which one begins the other, the longer must win.
  ordered = sorted(tokens, key=len, reverse=True)
  return re.compile("(" + "|".join(map(re.escape, ordered)) + ")")


class _Line:
  """Collects the ids of a conversation from left to right."""

  def __init__(self, chat: Chat, media: Sequence[Media]):
    self._chat = chat
    self._grammar = chat.tokenizer.grammar
    self._media = list(media)
    self._ids: list[int] = []
    self._kinds: list[int] = []
    self._runs: list[positions.Run] = []
    self._last = ""  # the special token before this piece
    self._answer: tuple[int, int] | None = None  # first, one past the last
    self._open: int | None = None  # where an answer has begun

  def add(self, piece: str) -> None:
    """Adds a special token, or the text between two of them."""
    ids = self._chat.tokenizer.ids
    opener, word = self._grammar.answer
    if not piece:
      return
    if piece in self._grammar.kinds:
      self._add_media(piece)
    elif piece in ids or piece == grammars.CUT:
      if piece in ids:
        self._append([ids[piece]], TokenKind.TEXT)
      if piece == self._grammar.end and self._open is not None:
        self._answer = self._answer or (self._open, len(self._ids))
        self._open = None
      if piece == opener and not word:
        self._open = len(self._ids)
    else:
      self._add_text(self._chat._unguard(piece))
    self._last = piece

  def _add_text(self, text: str) -> None:
    begins = self._last == grammars.CUT
    ids = self._chat.tokenizer.encode(text, begins=begins)
    opener, word = self._grammar.answer
    if word and self._last == opener and text.startswith(word):
      role = self._chat.tokenizer.encode(word)
      if ids[: len(role)] != role:
        raise errors.UserError(
          f"the tokenizer does not part {word!r} from what follows"
        )
      self._open = len(self._ids) + len(role)
    self._append(ids, TokenKind.TEXT)

  def _add_media(self, placeholder: str) -> None:
    kinds = [self._grammar.placeholders[media.kind] for media in self._media]
    if placeholder not in kinds:
      raise errors.UserError(
        f"the chat template has a {placeholder} for which there is no clip"
      )
    media = self._media.pop(kinds.index(placeholder))
    token = self._chat.tokenizer.ids[placeholder]
    kind = self._grammar.kinds[placeholder]
    self._append([token] * media.tokens, kind, media.grid)

  def _append(self, ids, kind: TokenKind, grid=None) -> None:
    self._ids.extend(ids)
    self._kinds.extend([kind] * len(ids))
    self._runs.append(positions.Run(len(ids), grid))

  def finish(self, supervised: bool) -> Encoded:
    """The whole line; `supervised`: it must hold an answer."""
    if self._media:
      raise errors.UserError(
        f"the chat template left out the {self._media[0].kind} of its turn"
      )
    if self._open is None and not supervised:
      raise errors.UserError("the chat template gives no generation header")
    tokens = np.array(self._ids, np.int32)
    kinds = np.array(self._kinds, np.uint8)
    labels = np.full_like(tokens, IGNORED)
    if supervised:
      if self._answer is None:
        raise errors.UserError(
          "the chat template does not end the assistant's turn with"
          f" {self._grammar.end}"
        )
      answer = slice(*self._answer)
      labels[answer] = tokens[answer]
      # The end token too: the model must learn to stop.
      kinds[answer] = TokenKind.ANSWER
    return Encoded(tokens, labels, kinds, tuple(self._runs))


def _by_grammar(grammar: grammars.Grammar, system, items, answer) -> str:
  """The string of a conversation by the grammar of its family."""
  body = "".join(
    item if isinstance(item, str) else grammar.clip(item.kind) for item in items
  )
  text = grammar.turn("system", system) + grammar.turn("user", body)
  if answer is None:
    return text + grammar.turns["assistant"][0]
  return text + grammar.turn("assistant", answer)


def _by_template(source: str, system, items, answer) -> str:
  """The string of a conversation by a jinja2 template."""
  content = [
    {"type": "text", "text": item}
    if isinstance(item, str)
    else {"type": item.kind, item.kind: item.kind}
    for item in items
  ]
  messages = [
    {"role": "system", "content": [{"type": "text", "text": system}]},
    {"role": "user", "content": content},
  ]
  if answer is not None:
    turn = [{"type": "text", "text": answer}]
    messages.append({"role": "assistant", "content": turn})
  try:
    return _compiled(source).render(
      messages=messages, add_generation_prompt=answer is None
    )
  except jinja2.TemplateError as error:
    raise errors.UserError(f"the chat template fails: {error}") from None


@functools.cache
def _compiled(source: str) -> jinja2.Template:
  # A template comes with a checkpoint: it must run no code of its own.
  environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.loopcontrols"],
  )
  environment.globals["raise_exception"] = _raise_in_template
  return environment.from_string(source)


def _raise_in_template(message: str):
  raise jinja2.TemplateError(message)


def load_template(path: str) -> str:
  """The source of a chat template.

  Args:
    path: a jinja2 file, or a JSON file with the key "chat_template"
      (chat_template.json and tokenizer_config.json of a checkpoint).

  Raises:
    UserError: the file is missing, has no such key or does not compile.
  """
  file = files.path(path)
  if not file.is_file():
    raise errors.UserError(f"chat template {path} does not exist")
  source = file.read_text(encoding="utf-8")
  if file.suffix == ".json":
    try:
      source = json.loads(source)["chat_template"]
    except (ValueError, KeyError, TypeError):
      raise errors.UserError(
        f'{path} is no JSON object with the key "chat_template"'
      ) from None
  try:
    _compiled(source)
  except jinja2.TemplateError as error:
    raise errors.UserError(
      f"chat template {path} does not compile: {error}"
    ) from None
  return source
