"""What a scorer gives back, before names and counts are put beside it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Result:
  """The scores of one set.

  Attributes:
    value: the primary metric, strict: what failed is wrong.
    chance: the primary metric of the best blind guess, from the references.
    guess: in words, what that guess says.
    parts: for each sample its numbers; "score" in [0, 1] ranks the samples.
    details: further metrics and tables, plain JSON values.
    official: the numbers under the conventions of the official scripts.
    metric: name of the primary metric where it depends on the rows.
    unscored: rows that have no truth to be scored with; they are in no mean.
  """

  value: float
  chance: float
  guess: str
  parts: list[dict]
  details: dict
  official: dict
  metric: str | None = None
  unscored: int = 0
