"""What becomes of a request, event by event."""

import dataclasses

from crab_jax.serving import failures
from crab_jax.serving import opening
from crab_jax.serving import replies


@dataclasses.dataclass(frozen=True)
class Waiting:
  """The request waits; so many others are before it."""

  ahead: int


@dataclasses.dataclass(frozen=True)
class Opened:
  """The media are open."""

  opened: opening.Opened


@dataclasses.dataclass(frozen=True)
class Started:
  """A task has got a slot."""

  task: str


@dataclasses.dataclass(frozen=True)
class Text:
  """More of an answer.

  Attributes:
    task: whose.
    piece: not empty.
    usage: the counts of tokens so far.
  """

  task: str
  piece: str
  usage: dict


@dataclasses.dataclass(frozen=True)
class Failed:
  """A task has no answer, or none to its end."""

  task: str
  failure: failures.Failure


Event = Waiting | Opened | Started | Text | replies.Answer | Failed
