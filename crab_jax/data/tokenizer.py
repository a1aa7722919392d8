"""Text to token ids and back, with the special tokens of a grammar.

A tokenizer is a `tokenizer.json` of the tokenizers library: that of a
checkpoint, or a small byte-level BPE trained here on the texts of a dataset.
Special tokens are known by name, never by number: a small vocabulary has ids
of its own.

Text never becomes a special token here: `encode` treats "<|im_end|>" inside
an answer or a question as ordinary characters. Special ids come from
`Tokenizer.ids` alone; `conversation` puts them in their places.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np
import tokenizers

from crab_jax import errors
from crab_jax import files
from crab_jax.data import grammar as grammars

# Where Qwen2 splits before merging: contractions, words with one leading
# character, single digits, punctuation, line ends, spaces.
_SPLIT = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
  r"|[^\r\n\p{L}\p{N}]?\p{L}+"
  r"|\p{N}"
  r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
  r"|\s*[\r\n]+"
  r"|\s+(?!\S)"
  r"|\s+"
)
_BYTES = 256
# A merge must be seen this often: rarer ones would learn single samples.
_MIN_FREQUENCY = 2


class Tokenizer:
  """A byte-level BPE that knows the special tokens by name.

  Attributes:
    grammar: of the model's family and the tokenizer's language model: which
      special tokens there must be.
    ids: special token -> id; every special token of the file.
    size: one more than the largest id: what the embedding table must hold.
  """

  def __init__(
    self, engine: tokenizers.Tokenizer, name: str, grammar: grammars.Grammar
  ):
    added = engine.get_added_tokens_decoder()
    self.ids = {t.content: i for i, t in added.items() if t.special}
    self.grammar = next(
      (x for x in grammar.alternatives if self.ids.keys() >= {*x.special}),
      grammar,
    )
    missing = [x for x in self.grammar.special if x not in self.ids]
    if missing:
      raise errors.UserError(
        f"tokenizer {name} lacks the special tokens {', '.join(missing)}:"
        " it is not one of the model's family"
      )
    self.size = max(engine.get_vocab().values()) + 1
    # A copy: the engine itself may be changed below.
    self._text = engine.to_str()
    self._engine, self._prefixes = _without_prefix(engine)
    # Special tokens inside a text stay text: see the module's docstring.
    self._engine.encode_special_tokens = True

  def __reduce__(self):
    # The engine's own pickle forgets `encode_special_tokens`.
    return _from_json, (self._text, self.grammar)

  @property
  def pad(self) -> int:
    return self.ids[self.grammar.pad]

  @property
  def end(self) -> int:
    """The id that ends an answer."""
    return self.ids[self.grammar.end]

  def fingerprint(self) -> str:
    """Tells tokenizers with other ids or other merges apart."""
    return hashlib.sha256(self._text.encode()).hexdigest()

  def difference(self, other: "Tokenizer") -> str | None:
    """A token that has another id in `other`, in words; None: there is none."""
    ours, theirs = (x._engine.get_vocab() for x in (self, other))
    for token in sorted({**ours, **theirs}, key=lambda t: ours.get(t, -1)):
      if ours.get(token) != theirs.get(token):
        return (
          f"token {token!r} is {ours.get(token, 'absent')} and not"
          f" {theirs.get(token, 'absent')}"
        )
    return None

  def encode(self, text: str, *, begins: bool = False) -> list[int]:
    """Token ids of a text, none of them special.

    Args:
      text: the text.
      begins: True: of SentencePiece, which puts a space before a text that is
        one of its own; False: the text goes on behind a special token.
    """
    if begins and self._prefixes:
      text = f" {text}"
    return self._engine.encode(text, add_special_tokens=False).ids

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """The text of token ids; special tokens are left out."""
    return self._engine.decode([int(i) for i in ids], skip_special_tokens=True)

  def save(self, path: os.PathLike | str) -> None:
    """Writes a tokenizer.json, complete or not at all."""
    path = files.path(path)
    files.make_folder(path.parent)
    engine = tokenizers.Tokenizer.from_str(self._text)
    files.write_text(path, engine.to_str(pretty=True))


def load(path: os.PathLike | str, grammar: grammars.Grammar) -> Tokenizer:
  """The tokenizer of a tokenizer.json.

  Raises:
    UserError: the file is missing or is none, or lacks a special token.
  """
  if not files.path(path).is_file():
    raise errors.UserError(f"tokenizer {path} does not exist")
  try:
    engine = tokenizers.Tokenizer.from_str(files.path(path).read_text())
  except Exception as error:  # the library raises nothing narrower
    raise errors.UserError(f"tokenizer {path} does not load: {error}") from None
  return Tokenizer(engine, str(path), grammar)


def _without_prefix(
  engine: tokenizers.Tokenizer,
) -> tuple[tokenizers.Tokenizer, bool]:
  """An engine that puts no space before a text, and whether it did.

  A tokenizer made of SentencePiece's does; but the slow one, with which models
  were trained, puts none behind a special token.
  """
  tree = json.loads(engine.to_str())
  found = False
  normalizer = tree["normalizer"] or {}
  parts = normalizer.get("normalizers", [normalizer])
  if any(part.get("type") == "Prepend" for part in parts):
    kept = [part for part in parts if part.get("type") != "Prepend"]
    tree["normalizer"] = {"type": "Sequence", "normalizers": kept}
    found = True
  splitter = tree["pre_tokenizer"] or {}
  for part in splitter.get("pretokenizers", [splitter]):
    if part.get("type") == "Metaspace" and part["prepend_scheme"] != "never":
      part["prepend_scheme"] = "never"
      found = True
  if not found:
    return engine, False
  return tokenizers.Tokenizer.from_str(json.dumps(tree)), True


def _from_json(text: str, grammar: grammars.Grammar) -> Tokenizer:
  engine = tokenizers.Tokenizer.from_str(text)
  return Tokenizer(engine, "unpickled", grammar)


def train(
  texts: Iterable[str], vocabulary: int, grammar: grammars.Grammar
) -> Tokenizer:
  """Trains a byte-level BPE that splits as Qwen2 does.

  Args:
    texts: what the tokenizer shall be short on.
    vocabulary: entries at most: special tokens, 256 bytes, merges.
    grammar: gives the special tokens.

  Raises:
    UserError: the vocabulary cannot hold the special tokens and the bytes.
  """
  smallest = _BYTES + len(grammar.special)
  if vocabulary < smallest:
    raise errors.UserError(
      f"a vocabulary of {vocabulary} is too small: the special tokens and the"
      f" bytes take {smallest}"
    )
  engine = tokenizers.Tokenizer(tokenizers.models.BPE())
  # As Qwen2's tokenizer.json: one character has one spelling.
  engine.normalizer = tokenizers.normalizers.NFC()
  engine.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
    [
      tokenizers.pre_tokenizers.Split(tokenizers.Regex(_SPLIT), "isolated"),
      tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
      ),
    ]
  )
  engine.decoder = tokenizers.decoders.ByteLevel()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=vocabulary,
    min_frequency=_MIN_FREQUENCY,
    special_tokens=list(grammar.special),
    # All bytes, seen or not: no text is without ids. Sorted: the alphabet has
    # no order of its own, and ids follow it.
    initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
    show_progress=False,
  )
  engine.train_from_iterator(texts, trainer)
  return Tokenizer(engine, "just trained", grammar)
