"""Masks of the rows of predictions: drawn once, kept, put into the rows.

  {predictions}/masks/{task}.jsonl   "id", "task", "mask", "mask_curve"

written a line at a time as the answers are (`prediction_files`): a stop loses
nothing, several processes share the rows. At the end the first process puts
"mask" (a run-length code) and "mask_curve" (F at 255 thresholds of the mask's
probabilities) into the rows, so scoring needs no model and no second file. A
row without a prompt has no mask and keeps its failure; one whose picture does
not decode has a "mask_error" and counts as wrong.
"""

import collections
from collections.abc import Iterator

import jax
import numpy as np
import tqdm

from crab_jax import configs
from crab_jax import files
from crab_jax.data import records
from crab_jax.evaluation import held_out
from crab_jax.evaluation import prediction_files
from crab_jax.evaluation.masking import drawer
from crab_jax.evaluation.masking import prompts
from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import official_scripts
from crab_jax.evaluation.scoring import scores
from crab_jax.training import hosts
from crab_jax.training import mask_folder
from crab_jax.weights import adapter

FOLDER = "masks"  # in that of the predictions
_FIELDS = ("mask", "mask_curve", "mask_error")
_DIGITS = 5  # of the numbers of a curve


class Masker:
  """A mask model for the rows of predictions."""

  def __init__(self, folder: files.Path, config: configs.Evaluation):
    """Reads a mask model.

    Raises:
      UserError: the folder is none, damaged, or of another size.
    """
    shapes, params = mask_folder.load(folder, config.mask_dtype)
    self.pen = drawer.Drawer(shapes, params, config.mask_batch)
    self._run = {
      "mask model": adapter.fingerprint(params, adapters=True),
      "mask_dtype": shapes.encoder_dtype,
    }

  def add(self, folder: files.Path, clips: held_out.Clips) -> None:
    """Draws the masks of a folder of predictions and puts them into its rows.

    All processes call it, after the answers are joined.

    Args:
      folder: of the predictions.
      clips: what was answered.

    Raises:
      UserError: the folder holds the masks of another mask model.
    """
    own = folder / FOLDER
    prediction_files.claim(own, self._run, jax.process_index() == 0)
    hosts.barrier(f"answers of {folder.name} are there")
    self._draw(folder, own, clips)
    hosts.barrier(f"masks of {folder.name} are drawn")
    if jax.process_index() == 0:
      prediction_files.join(own, clips.table)
      _merge(folder, own, clips)
    hosts.barrier(f"masks of {folder.name} are joined")

  def _draw(
    self, folder: files.Path, own: files.Path, clips: held_out.Clips
  ) -> None:
    process, processes = jax.process_index(), jax.process_count()
    # Shares of all rows, and not of those that are missing: another process may
    # have drawn some before this one reads the files. Neighbours stay together,
    # as expressions about one frame are neighbours.
    asked = list(_rows(folder, clips))
    start, end = (len(asked) * n // processes for n in (process, process + 1))
    done = prediction_files.answered(own, clips.table)
    share = [row for row in asked[start:end] if row["id"] not in done]
    journal = prediction_files.Journal(own, process, processes)
    bar = tqdm.tqdm(
      total=len(share), desc="masks", unit="mask", disable=process > 0
    )
    with bar:
      for line in self._lines(share, clips):
        journal.write(line)
        bar.update()

  def _lines(self, share: list[dict], clips: held_out.Clips) -> Iterator[dict]:
    """A line of each row, those of one picture together."""
    found = {row["id"]: row for row in share}
    by_picture = collections.defaultdict(list)
    for row in share:
      record = clips.find(row["id"])
      prompt = prompts.of_answer(clips.table[row["task"]], row["text"])
      picture = record.frames[0] if record and record.frames else b""
      if prompt is None or prompt.absent:
        yield _line(row, record, _without_model(row, prompt))
      else:
        # The digest of a picture would do; its bytes are there anyway.
        by_picture[picture].append(drawer.Task(row["id"], picture, prompt))
    wanted = (task for tasks in by_picture.values() for task in tasks)
    for drawn in self.pen.draw(wanted):
      yield _line(found[drawn.id], clips.find(drawn.id), drawn)


def _rows(folder: files.Path, clips: held_out.Clips) -> Iterator[dict]:
  """The answered rows of all tasks with masks."""
  for name, task in clips.table.items():
    path = prediction_files.path_of(folder, name)
    if prompts.is_masked(task) and path.is_file():
      yield from scores.read_rows(path)


def _without_model(
  row: dict, prompt: official_scripts.Prompt | None
) -> drawer.Drawn:
  """No mask for no prompt, an empty one for an object that is not there."""
  logits = None
  if prompt is not None:
    logits = np.full((masks.SIZE, masks.SIZE), -np.inf, np.float32)
  return drawer.Drawn(row["id"], logits)


def _line(
  row: dict, record: records.Record | None, drawn: drawer.Drawn
) -> dict:
  line = {"id": row["id"], "task": row["task"]}
  if drawn.error:
    return {**line, "mask_error": drawn.error}
  if drawn.logits is None:
    return line
  line["mask"] = masks.to_rle(drawn.logits > 0)
  truth = masks.from_png(record.mask) if record and record.mask else None
  if truth is not None and truth.any():
    curve = masks.f_curve(truth, _probabilities(drawn.logits))
    line["mask_curve"] = [round(float(x), _DIGITS) for x in curve]
  return line


def _probabilities(logits: np.ndarray) -> np.ndarray:
  """float64[224, 224] in [0, 1]."""
  with np.errstate(over="ignore"):  # of very negative logits; the result is 0
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def _merge(folder: files.Path, own: files.Path, clips: held_out.Clips) -> None:
  """Puts what was drawn into the rows of the predictions."""
  for name, task in clips.table.items():
    path = prediction_files.path_of(folder, name)
    drawn = prediction_files.path_of(own, name)
    if not prompts.is_masked(task) or not drawn.is_file():
      continue
    lines = {line["id"]: line for line in scores.read_rows(drawn)}
    rows = []
    for row in scores.read_rows(path):
      kept = {key: x for key, x in row.items() if key not in _FIELDS}
      line = lines.get(row["id"], {})
      added = {key: line[key] for key in _FIELDS if key in line}
      rows.append({**kept, **added})
    prediction_files.write_rows(path, rows)
