"""Validation of a stage while it trains: held-out loss, decoded answers.

The loss by dataset over some packed batches of the validation split; what a
`check` says of a few decoded clips; and the checkpoint that was best by one of
these numbers, in a folder of its own beside those that a run resumes from.
"""

import itertools
from collections.abc import Callable
from collections.abc import Iterator

import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.training import checkpoint
from crab_jax.training import state as state_lib
from crab_jax.training import step as step_lib

PREFIX = "validation/"  # of the names in metrics.jsonl

Scalars = dict[str, float]
# (step, all parameters) -> numbers of decoded clips
Check = Callable[[int, array_types.Tree], Scalars]


def exactly(
  batches: Iterator[array_types.Batch], count: int
) -> Iterator[array_types.Batch]:
  """`count` batches; beyond the last its repeats, which weigh nothing.

  Hosts that measure together must take as many steps.
  """
  last: array_types.Batch | None = None
  for _ in range(count):
    batch = next(batches, None)
    if batch is None:
      if last is None:
        raise errors.UserError(
          "a host has no validation records: leave Validation.every at 0"
        )
      batch = {**last, "weights": np.zeros_like(last["weights"])}
    last = batch
    yield batch


class Best:
  """The state that was best by one number; survives a stop."""

  def __init__(self, folder: files.Path, metric: str):
    """Reads what an earlier start of the run found best.

    Args:
      folder: of this checkpoint alone.
      metric: "loss", "score", or one of them of a dataset; the lowest loss
        is best, and the highest score.
    """
    self._metric = metric
    self._sign = -1.0 if metric.startswith("loss") else 1.0
    self._checkpoints = checkpoint.StageCheckpoints(folder, keep=1)
    note = self._checkpoints.note()
    self.value = None if note is None else float(note["value"])

  @property
  def step(self) -> int | None:
    """The best step so far."""
    return self._checkpoints.latest()

  def offer(
    self, scalars: Scalars, state: Callable[[], state_lib.State]
  ) -> bool:
    """Keeps a state if it is better than all before; says whether it was.

    Args:
      scalars: of a validation.
      state: gives the state, if it is to be kept.

    Raises:
      UserError: the metric is not among the scalars.
    """
    name = PREFIX + self._metric
    if name not in scalars:
      raise errors.UserError(
        f"Validation.best={self._metric!r}: there are only"
        f" {', '.join(n.removeprefix(PREFIX) for n in sorted(scalars))}"
      )
    value = scalars[name]
    if self.value is not None and self._sign * (value - self.value) <= 0:
      return False
    self._checkpoints.save(state(), b"", {"value": value})
    # On disk before the loop goes on: the log says that the validation is done,
    # so a start after a kill would not offer this state again.
    self._checkpoints.wait()
    self.value = value
    return True

  def restore(self, like: state_lib.State) -> state_lib.State:
    """The best state; `like` as of `StageCheckpoints.restore`."""
    return self._checkpoints.restore(like)[0]

  def close(self) -> None:
    self._checkpoints.close()


class Validator:
  """Validates a stage at its interval."""

  def __init__(
    self,
    config: configs.Validation,
    stage: configs.Stage,
    *,
    measure: Callable[..., step_lib.Metrics],
    batches: Callable[[], Iterator[array_types.Batch]],
    processes: int,
    task_names: tuple[str, ...],
    check: Check | None = None,
    best: Best | None = None,
  ):
    """Measures nothing yet.

    Args:
      config: the interval, and how many batches and clips are read.
      stage: which is validated.
      measure: of `Runner.make_eval_step`.
      batches: this host's batches of the validation split.
      processes: hosts that measure together.
      task_names: of the datasets, by number.
      check: decodes and scores a few clips, or None.
      best: keeps the best state, or None.
    """
    self._config, self._stage = config, stage
    self._measure, self._batches = measure, batches
    self._processes, self._names = processes, task_names
    self._check, self.best = check, best

  def due(self, step: int) -> bool:
    """Whether the stage is validated after a step: at intervals, and last."""
    every = self._config.every
    return every > 0 and (step % every == 0 or step == self._stage.steps)

  @property
  def decodes(self) -> bool:
    """Whether a validation needs all the parameters at once."""
    return self._check is not None

  def losses(
    self, params: array_types.Tree, frozen: array_types.Tree
  ) -> Scalars:
    """The mean loss, in all and by dataset: nats a supervised token.

    Args:
      params: the trainable leaves, where the runner has them.
      frozen: the others.
    """
    total: dict[str, np.ndarray] = {}
    count, batches = self._config.batches, self._batches()
    if self._processes > 1:
      # The sums are collectives: a host that ended earlier would leave the
      # others waiting.
      chosen = exactly(batches, count)
    else:
      chosen = itertools.islice(batches, count)
    for batch in chosen:
      sums = self._measure(params, frozen, batch)
      for name, value in sums.items():
        # float32 counts tokens exactly only up to 2^24.
        total[name] = total.get(name, 0.0) + np.asarray(value, np.float64)
    found = {PREFIX + "loss": float(total["nll"] / total["tokens"])}
    by_task = zip(
      self._names, total["task_nll"], total["task_tokens"], strict=True
    )
    for name, nll, tokens in by_task:
      if tokens:
        found[f"{PREFIX}loss/{name}"] = float(nll / tokens)
    return found

  def checked(self, step: int, params: array_types.Tree) -> Scalars:
    """The numbers of a few decoded clips.

    Args:
      step: the step after which this is.
      params: all the parameters.
    """
    numbers = self._check(step, params) if self._check else {}
    return {PREFIX + name: value for name, value in numbers.items()}

  def keep(
    self, scalars: Scalars, state: Callable[[], state_lib.State]
  ) -> None:
    """Keeps the state if it is the best so far and that is wanted."""
    if self.best is not None:
      self.best.offer(scalars, state)

  def best_of(
    self, state: state_lib.State, like: state_lib.State
  ) -> state_lib.State:
    """The best state that was kept; without one, the state itself.

    Args:
      state: after the last step.
      like: its shapes and shardings, as of `StageCheckpoints.restore`.
    """
    if self.best is None or self.best.step is None:
      return state
    print(
      f"stage {self._stage.name}: step {self.best.step} goes on, its"
      f" {self._config.best} {self.best.value:.4f} was best"
    )
    return self.best.restore(like)

  def close(self) -> None:
    if self.best is not None:
      self.best.close()
