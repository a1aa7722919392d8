"""The router's gates along an answer, for a client: numbers for each token."""

import threading

from crab_jax.array_types import TokenKind
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.evaluation import folder
from crab_jax.routers import sequence_gates

_DIGITS = 4


class Gates:
  """Computes gates, one answer at a time.

  Args:
    model: with a router, if it is called.
    maker: makes prompts.
  """

  def __init__(self, model: folder.Model, maker: samples.SampleMaker):
    self._model, self._maker = model, maker
    self._lock = threading.Lock()

  def __call__(self, record: records.Record, text: str) -> dict:
    """The gates of an answer.

    Returns:
      "by_kind": kind of token -> the mean gate of each head; "answer": a list
      for each token of the answer, its text and then the gate of each head.
    """
    if not text.strip():  # an answer without tokens has no gates
      return {"by_kind": {}, "answer": []}
    with self._lock:
      along = sequence_gates.along(
        self._model.config, self._model.params, self._maker, record, text
      )
    tokenizer = self._model.tokenizer
    own = along.gates[along.kinds == TokenKind.ANSWER].round(_DIGITS).tolist()
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode(text)]
    return {
      "by_kind": along.by_kind(),
      # Behind the text stands the token that ends it: it has no text.
      "answer": [[p, *g] for p, g in zip(pieces, own, strict=False)],
    }
