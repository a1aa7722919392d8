"""A few held-out clips, decoded and scored while a model trains.

Small samples say little of a score; they show whether answers have the form
that they should have, and the rows can be read.
"""

import functools

import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import files
from crab_jax.data import prepared_records
from crab_jax.data import samples
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation import decode
from crab_jax.evaluation import held_out
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation.scoring import score_sheet
from crab_jax.evaluation.scoring import scores
from crab_jax.training import generation_sharding


class SpotCheck:
  """Answers the same clips at every call."""

  def __init__(
    self,
    answerer: decode.Answerer,
    layout: generation_sharding.Layout,
    clips: held_out.Clips,
    folder: files.Path | None,
  ):
    """Reads nothing yet.

    Args:
      answerer: its parameters are replaced at every call.
      layout: of parameters on the devices.
      clips: the clips.
      folder: {step}.jsonl, the rows with their scores, is written here; None:
        this process writes none.
    """
    self._answerer, self._layout = answerer, layout
    self._clips, self._folder = clips, folder

  def __call__(self, step: int, params: array_types.Tree) -> dict[str, float]:
    """Decodes the clips; "score/{task}", and "score", the mean of them.

    A task that cannot be scored has no number; it is printed.

    Args:
      step: the step after which this is.
      params: all the parameters.
    """
    self._answerer.params = self._layout.shard(params)
    rows: dict[str, list[dict]] = {}
    for row in self._answerer.answers(self._clips):
      rows.setdefault(row["task"], []).append(row)
    self._answerer.params = {}  # a copy, and training needs the memory
    sheet = score_sheet.Sheet()
    for name, own in rows.items():
      task, lookup = self._clips.table[name], self._clips.find
      score = functools.partial(
        scores.score_rows, task, own, lookup, released=False
      )
      sheet.attempt(name, score)
    sheet.require_any()
    found = sheet.scored
    if self._folder is not None and sheet.remarks:
      print("\n".join(sheet.remarks), flush=True)
    if self._folder is not None:
      files.make_folder(self._folder)
      every = [row for score in found.values() for row in score.every_row]
      prediction_files.write_rows(self._folder / f"{step}.jsonl", every)
    numbers = {f"score/{task}": score.value for task, score in found.items()}
    return {"score": float(np.mean(list(numbers.values()))), **numbers}


def make(
  prepared: prepared_records.Prepared,
  tokenizer: tokenizers.Tokenizer,
  experiment: configs.Experiment,
  model: configs.Model,
  chosen: tuple[str, ...],
  folder: files.Path | None,
) -> SpotCheck:
  """The check of the first `Validation.clips` clips of some datasets.

  Args:
    prepared: the records.
    tokenizer: of the model.
    experiment: its data, mesh, evaluation and validation settings are read.
    model: of the stage.
    chosen: datasets with a val split.
    folder: see `SpotCheck`.
  """
  layout = generation_sharding.local(experiment.mesh, model)
  maker = samples.sample_maker(
    tokenizer, experiment.data, model, prepared.table
  )
  splits = dict.fromkeys(chosen, "val")
  clips = held_out.of_splits(prepared, splits, experiment.validation.clips)
  answerer = decode.Answerer(
    model, {}, maker, tokenizer, experiment.evaluation, layout
  )
  return SpotCheck(answerer, layout, clips, folder)
