"""What an assumption about the data turned out to be."""

import dataclasses
from collections.abc import Sequence

HOLDS, FAILS, UNKNOWN = "holds", "fails", "cannot be told"
_SHOWN = 3  # examples


@dataclasses.dataclass(frozen=True)
class Assumption:
  """One assumption about one set.

  Attributes:
    task: the set.
    name: what is assumed.
    verdict: `HOLDS`, `FAILS` or `UNKNOWN`.
    reason: what was found.
    examples: first rows that show it.
  """

  task: str
  name: str
  verdict: str
  reason: str
  examples: tuple[str, ...] = ()

  def text(self) -> str:
    """A line, and the examples."""
    lines = [f"{self.task}: {self.name}: {self.verdict} ({self.reason})"]
    return "\n".join([*lines, *(f"    {e}" for e in self.examples[:_SHOWN])])


def verdict(
  task: str, name: str, bad: Sequence[str], count: int, told: str = ""
) -> Assumption:
  """Holds where nothing is bad; cannot be told where there was nothing.

  Args:
    task: the set.
    name: what is assumed.
    bad: the rows that show the contrary, in words.
    count: rows that were looked at.
    told: what more was found, behind the number of rows.
  """
  if not count:
    return Assumption(task, name, UNKNOWN, "no row tells")
  if bad:
    reason = f"{len(bad)} of {count} rows{told}"
    return Assumption(task, name, FAILS, reason, tuple(bad))
  return Assumption(task, name, HOLDS, f"{count} rows{told}")
