"""Metrics of a run: metrics.jsonl, TensorBoard, wandb and a progress bar."""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

import tensorboardX
import tqdm

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files

FILE = "metrics.jsonl"
HEALTH = "health.jsonl"
_WANDB = "wandb_run.txt"  # the id of the run


class Writer:
  """Writes scalars of one run; lines after a resumed step are dropped."""

  def __init__(
    self, folder: files.Path, config: configs.Logging, silent: bool = False
  ):
    """Opens what the configuration asks for.

    Args:
      folder: of the run.
      config: what to write beside metrics.jsonl.
      silent: write nothing: another host does.
    """
    files.make_folder(folder)
    self._path = folder / FILE
    self._silent = silent
    self._board = (
      tensorboardX.SummaryWriter(str(folder / "tensorboard"))
      if config.tensorboard and not silent
      else None
    )
    self._wandb = _wandb_run(folder) if config.wandb and not silent else None

  def rewind(self, stage: str, step: int) -> None:
    """Forgets lines of `stage` after `step`: they will be written again."""
    if self._silent or not self._path.exists():
      return
    kept = [
      line
      for line in self._path.read_text().splitlines(keepends=True)
      # A kill may have cut the last line short.
      if line.endswith("\n") and not _is_after(json.loads(line), stage, step)
    ]
    files.write_text(self._path, "".join(kept))

  def has(self, stage: str, step: int, prefix: str) -> bool:
    """Whether the log has scalars of such names; every host may ask."""
    if not self._path.exists():
      return False
    lines = self._path.read_text().splitlines(keepends=True)
    # The last line may be cut short, or just be written by the first host.
    found = (json.loads(line) for line in lines if line.endswith("\n"))
    return any(
      (line["stage"], line["step"]) == (stage, step)
      and any(name.startswith(prefix) for name in line)
      for line in found
    )

  def write(self, stage: str, step: int, values: Mapping[str, Any]) -> None:
    """Appends one line {"stage", "step", **values}.

    TensorBoard and wandb get the numbers alone.
    """
    if self._silent:
      return
    line = files.json_line({"stage": stage, "step": step, **values})
    files.append(self._path, line)
    scalars = {
      f"{stage}/{name}": value
      for name, value in values.items()
      if isinstance(value, int | float)
    }
    self._show(step, scalars)

  def _show(self, step: int, scalars: Mapping[str, float]) -> None:
    """Hands numbers to TensorBoard and wandb."""
    if self._board is not None:
      for name, value in scalars.items():
        self._board.add_scalar(name, value, step)
    if self._wandb is not None:
      self._wandb.log(scalars)

  def health(self, stage: str, step: int, values: Mapping[str, float]) -> None:
    """Appends a line to health.jsonl: numbers of the machine (`health`).

    No start takes lines away: they tell the times of all starts.
    """
    if self._silent:
      return
    line = files.json_line({"stage": stage, "step": step, **values})
    files.append(self._path.with_name(HEALTH), line)
    self._show(
      step, {f"health/{stage}/{name}": x for name, x in values.items()}
    )

  def close(self) -> None:
    if self._board is not None:
      self._board.close()
    if self._wandb is not None:
      self._wandb.finish()


def _is_after(line: dict, stage: str, step: int) -> bool:
  return line["stage"] == stage and line["step"] > step


def _wandb_run(folder: files.Path):
  try:
    import wandb
  except ImportError as error:
    raise errors.UserError(
      "Logging.wandb=True needs wandb: pip install 'crab_jax[wandb]'"
    ) from error
  path = folder / _WANDB
  known = path.read_text() if path.is_file() else uuid.uuid4().hex[:12]
  # Before the run begins: a start after a kill goes on with the same one.
  files.write_text(path, known)
  return wandb.init(
    project="crab_jax",
    # It writes to disks only; of a bucket's run where the command was started.
    dir=None if files.is_remote(folder) else str(folder),
    name=folder.name,
    id=known,
    resume="allow",  # a start that goes on has the run of the first one
  )


def read(folder: files.Path) -> list[dict]:
  """The lines of metrics.jsonl, oldest first; [] if there are none."""
  path = folder / FILE
  if not path.exists():
    return []
  return [json.loads(line) for line in path.read_text().splitlines()]


class Meter:
  """Rates between two lines of the log, and the progress bar."""

  def __init__(self, stage: str, first: int, steps: int):
    self._bar = tqdm.tqdm(
      total=steps, initial=first, desc=stage, unit="step", dynamic_ncols=True
    )
    self._reset()

  def _reset(self) -> None:
    self._start = time.perf_counter()
    self._wait = 0.0
    self._samples = 0
    self._useful = 0
    self._tokens = 0

  def waited(self, seconds: float) -> None:
    """Time that the loop stood still for want of data."""
    self._wait += seconds

  def paused(self, seconds: float) -> None:
    """Time that was spent on something else: it counts in no rate."""
    self._start += seconds

  def count(self, batch: array_types.Batch, hosts: int) -> None:
    """Counts a host's batch; all hosts have alike ones."""
    self._samples += hosts * int((batch["sample_ids"][..., 0] >= 0).sum())
    self._useful += hosts * int((batch["segments"] > 0).sum())
    self._tokens += hosts * batch["segments"].size

  def tick(self) -> None:
    self._bar.update()

  def rates(self) -> dict[str, float]:
    """Rates since the last call."""
    seconds = max(time.perf_counter() - self._start, 1e-9)
    found = {
      "samples_per_second": self._samples / seconds,
      "tokens_per_second": self._useful / seconds,
      "data_wait_share": self._wait / seconds,
      "padding_share": 1 - self._useful / max(self._tokens, 1),
    }
    self._reset()
    return found

  def show(self, scalars: Mapping[str, float]) -> None:
    """Shows loss, rates and, where they are known, MFU and memory."""
    mfu, hbm = scalars.get("mfu"), scalars.get("hbm_peak_gib")
    self._bar.set_postfix_str(
      f"loss {scalars['loss']:.3f}"
      f" {scalars['samples_per_second']:.1f} samples/s"
      f" {scalars['tokens_per_second']:.0f} tok/s"
      f" wait {scalars['data_wait_share']:.1%}"
      f" padding {scalars['padding_share']:.1%}"
      + ("" if mfu is None else f" MFU {mfu:.1%}")
      + ("" if hbm is None else f" HBM {hbm:.1f} GiB")
    )

  def close(self) -> None:
    self._bar.close()
