"""Held-out clips to answers: what the model says, a line a clip.

Clips of all datasets are decoded together, sorted by length, so that few
shapes are compiled; each answer goes to its dataset's file as soon as it is
there. A decoding that was stopped goes on: what a file holds is not decoded
again. A clip that cannot be read is written with its error: it counts as wrong.

Several processes take a share of the clips each and decode it on their own
devices; they meet only before and after.
"""

from collections.abc import Iterable
from collections.abc import Iterator

import jax
import numpy as np
import tqdm

from crab_jax import array_types
from crab_jax import configs
from crab_jax import files
from crab_jax.data import prompt_batches
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import held_out
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation.scoring import masks
from crab_jax.paradigms import generate
from crab_jax.training import generation_sharding

FOLDER = "predictions"


def reference_of(record: records.Record) -> dict:
  """The reference of a row: that of the record, with its mask as a code."""
  reference = dict(record.reference)
  if record.mask:
    reference["mask"] = masks.to_rle(masks.from_png(record.mask))
  return reference


def row(
  record: records.Record,
  text: str | None,
  error: str | None,
  prompt: str = "",
  cut: str | None = None,
) -> dict:
  """The line of one clip, not yet parsed or scored.

  Args:
    record: the clip.
    text: what the model said, or None.
    error: why there is no text, or None.
    prompt: what it was asked.
    cut: the limit that ended the answer before its end; the key is only there
      if one did.
  """
  return {
    "id": record.id,
    "task": record.task,
    "prompt": prompt,
    "question": record.question,
    "text": text,
    "reference": reference_of(record),
    "error": error,
    **({"cut": cut} if cut else {}),
  }


class Answerer:
  """Says what a model answers to the prompt of each record."""

  def __init__(
    self,
    model: configs.Model,
    params: array_types.Tree,
    maker: samples.SampleMaker,
    tokenizer: tokenizers.Tokenizer,
    config: configs.Evaluation,
    layout: generation_sharding.Layout | None = None,
    least: samples.Lengths = prompt_batches.NO_LEAST,
  ):
    """Compiles nothing yet.

    Args:
      model: the model.
      params: its parameters, sharded by `layout`.
      maker: makes the prompts.
      tokenizer: reads the answers.
      config: rows of a batch, length of an answer.
      layout: the devices; None: the default one.
      least: see `prompt_batches.batches`.
    """
    sampling = generate.Sampling(
      max_new_tokens=config.max_new_tokens, stop_tokens=(tokenizer.end,)
    )
    self._generator = generate.Generator(model, sampling)
    self.params = params
    self._maker = maker
    self._tokenizer = tokenizer
    self._layout = layout or generation_sharding.one_device()
    self._batch = self._layout.whole_rows(config.batch)
    self._least = least

  def answers(
    self,
    chosen: Iterable[records.Record],
    params: array_types.Tree | None = None,
  ) -> Iterator[dict]:
    """Rows for all records, shortest prompts first; failed ones too.

    Args:
      chosen: the records.
      params: other parameters of the same model; None: those of the class.
    """
    params = self.params if params is None else params
    batches = prompt_batches.batches(
      chosen, self._maker, self._batch, least=self._least
    )
    for batch_records, batch, failed in batches:
      if batch is not None:
        with self._layout.scope():
          found = self._generator(params, batch)
        tokens, lengths = np.asarray(found.tokens), np.asarray(found.lengths)
        ended = np.asarray(found.ended)
        for index, record in enumerate(batch_records):
          ids = tokens[index, : lengths[index]]
          text = self._tokenizer.decode(ids).strip()
          cut = None if ended[index] else self._limit(len(ids))
          yield row(record, text, None, self._maker.wording(record), cut)
      for record, reason in failed:
        yield row(record, None, reason)

  def _limit(self, tokens: int) -> str:
    """What cut off an answer of so many tokens that did not end by itself."""
    most = self._generator.sampling.max_new_tokens
    return "max_new_tokens" if tokens == most else "context"


def decode(
  answerer: Answerer, clips: held_out.Clips, folder: files.Path
) -> None:
  """Answers this process's share of the clips, but for what files hold.

  Args:
    answerer: the model.
    clips: of all processes.
    folder: where the files of `prediction_files` lie.
  """
  process, processes = jax.process_index(), jax.process_count()
  share = clips.share(process, processes)
  # By the files of all processes: their number may have been another one.
  remaining = share.without(prediction_files.answered(folder, clips.table))
  bar = tqdm.tqdm(
    total=len(share),
    initial=len(share) - len(remaining),
    desc="evaluate" if processes == 1 else f"evaluate 1/{processes}",
    unit="clip",
    disable=process > 0,
  )
  journal = prediction_files.Journal(folder, process, processes)
  with bar:
    for line in answerer.answers(remaining):
      journal.write(line)
      bar.update()
