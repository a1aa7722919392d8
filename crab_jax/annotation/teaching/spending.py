"""What is spent on a teacher, and whether the next request could pass the budget.

Every request is logged before it is sent, with the most that it can cost, and
again with what it cost. One that a kill cut off counts with the most.
"""

import dataclasses
import threading

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import lines
from crab_jax.annotation import settings as settings_lib

_MILLION = 1e6


class Exhausted(errors.UserError):
  """The next request could pass the budget."""


@dataclasses.dataclass(frozen=True)
class Tariff:
  """Prices, and what a request is expected to have.

  Attributes:
    price_in, price_out: of a million tokens.
    frame: tokens of a frame.
    second: tokens of a second of sound.
    text: tokens of the instructions.
    reply: tokens of a reply, as expected.
  """

  price_in: float = 0.0
  price_out: float = 0.0
  frame: int = 258
  second: int = 32
  text: int = 600
  reply: int = 120

  def tokens_in(self, frames: int, seconds: float, characters: int) -> int:
    """How many tokens a request has, rather too many."""
    text = max(self.text, characters // 3)
    return round(frames * self.frame + seconds * self.second + text)

  def cost(self, tokens_in: float, tokens_out: float) -> float:
    """In the unit of the prices."""
    return (tokens_in * self.price_in + tokens_out * self.price_out) / _MILLION


def tariff(way: settings_lib.Transport) -> Tariff:
  """The prices that a user gives."""
  return Tariff(way.price_in, way.price_out)


class Ledger:
  """The log of what is spent; used by several threads.

  Args:
    path: of the log.
    tariff: the prices.
    budget: what may be spent in all runs together; None: anything.
  """

  def __init__(self, path: files.Path, tariff: Tariff, budget: float | None):
    self._log = lines.Log(path)
    self._lock = threading.Lock()
    self.tariff = tariff
    self.budget = budget
    self._open: dict[str, float] = {}
    self.spent = 0.0  # of what is answered
    self.tokens = [0, 0]
    self._ratio = 1.0  # the most that a request had of what was expected
    for line in self._log.lines:
      self._apply(line)
    self._cut_off = sum(self._open.values())
    self._open.clear()
    self._number = len(self._log.lines)

  def _apply(self, line: dict) -> None:
    if "most" in line:
      self._open[line["ask"]] = line["most"]
      return
    self._open.pop(line["ask"], None)
    self.spent += line["cost"]
    self.tokens = [
      a + b for a, b in zip(self.tokens, line["tokens"], strict=True)
    ]
    self._ratio = max(self._ratio, line.get("ratio", 1.0))

  @property
  def committed(self) -> float:
    """What is spent, and the most that open requests can cost."""
    return self.spent + self._cut_off + sum(self._open.values())

  def begin(self, tokens_in: int, most_out: int) -> str:
    """Logs a request that is about to be sent.

    Args:
      tokens_in: that it is expected to have.
      most_out: tokens that the reply may have.

    Returns:
      What names it.

    Raises:
      Exhausted: it could pass the budget.
    """
    with self._lock:
      most = self.tariff.cost(tokens_in * self._ratio, most_out)
      if self.budget is not None and self.committed + most > self.budget:
        raise Exhausted(
          f"--budget={self.budget:g} could be passed by the next request:"
          f" {self.spent:.4f} is spent, {self.committed - self.spent:.4f} is"
          f" under way. What was answered is kept; a larger budget goes on"
        )
      self._number += 1
      name = str(self._number)
      self._open[name] = most
      self._log.add({"ask": name, "most": most, "tokens_in": tokens_in})
      return name

  def end(
    self,
    name: str,
    expected: int,
    tokens: tuple[int, int] | None,
    lost: bool = False,
  ) -> None:
    """Logs what became of a request.

    Args:
      name: of `begin`.
      expected: the tokens that it was expected to have.
      tokens: (in, out) as the endpoint counts; None: as expected, or 0 for
        one that failed.
      lost: whether nobody knows what it cost: it counts with the most.
    """
    with self._lock:
      most = self._open[name]
      counted = tokens or (0, 0)
      line = {
        "ask": name,
        "cost": most if lost else self.tariff.cost(*counted),
        "tokens": list(counted),
        "ratio": counted[0] / max(expected, 1),
      }
      self._apply(line)
      self._log.add(line)
