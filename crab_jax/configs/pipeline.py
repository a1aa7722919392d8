"""The input pipeline: what is read and how it becomes packed rows."""

import dataclasses

from crab_jax.configs import checked


@dataclasses.dataclass(frozen=True)
class Rows(checked.Checked):
  """The static shape of a packed row, and how many make a step."""

  rows: int = 16  # rows a step, over all devices and hosts
  tokens: int = 2048  # tokens a row (T)
  frame_pairs: int = 16  # frame pairs a row
  chunks: int = 24  # audio chunks a row
  supervised: int = 512  # loss positions a row
  samples: int = 24  # samples a row at most
  waiting: int = 64  # samples that wait for a row that they fill

  def check(self):
    for field in dataclasses.fields(self):
      checked.require(
        getattr(self, field.name) >= 1,
        f"Rows.{field.name}={getattr(self, field.name)} must be at least 1",
      )


@dataclasses.dataclass(frozen=True)
class Data(checked.Checked):
  """The input pipeline: what is read and how it becomes rows."""

  prompts: str | None = None  # a prompt file that replaces ours (JSON)
  chat_template: str | None = None  # a jinja2 file; None: ours
  tokenizer: str | None = None  # a tokenizer.json; None: train one
  seconds_per_pair: float = 2.0  # seconds a frame pair claims to last
  true_seconds: bool = False  # True: the clip's own seconds instead
  # Rope positions a second of video; None: those of the model, or else 25.
  positions_per_second: float | None = None
  shuffle_window: int = 512  # samples of the mixture; 1: off
  workers: int = 0  # worker processes; 0: threads of this process
  threads: int = 2  # reader threads
  prefetch: int = 4  # batches ready before they are asked for
  seed: int = 42
  max_bad_share: float = 0.001  # of the records read that fail; more: stop
  max_bad_task_share: float = 0.01  # of those of one dataset
