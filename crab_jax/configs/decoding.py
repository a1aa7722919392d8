"""How held-out clips are answered."""

import dataclasses

from crab_jax.configs import checked


@dataclasses.dataclass(frozen=True)
class Evaluation(checked.Checked):
  """Decoding of held-out clips."""

  batch: int = 16  # prompts decoded together
  max_new_tokens: int = 96
  limit: int | None = None  # clips a dataset at most; None: all
  tasks: tuple[str, ...] | None = None  # None: all that have a reference
  # Whether the base alone, without its adapter, answers the same clips.
  base_alone: bool = False
