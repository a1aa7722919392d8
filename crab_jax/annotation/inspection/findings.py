"""What an assumption about the data turned out to be."""

import dataclasses

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
