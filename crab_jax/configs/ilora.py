"""The adapter: interaction-aware LoRA and, as settings of it, its baselines."""

import dataclasses

from crab_jax.configs import checked


@dataclasses.dataclass(frozen=True)
class ILora(checked.Checked):
  """Interaction-aware LoRA: a shared A, several B heads, a router per token.

  Reference: Crab+, arXiv 2603.04128. The baselines of the paper are settings:
  plain LoRA is heads=1; the uniform mixture is router="uniform"; MoE-LoRA is
  shared_a=False.
  """

  rank: int = 128  # >= 1
  heads: int = 3  # B heads, >= 1
  alpha: float = 256.0  # the update is scaled by alpha / rank
  dropout: float = 0.1  # of the input of A, in [0, 1)
  targets: str = "lm+towers"  # "lm": the decoder only
  router: str = "token"  # "uniform": every head weighs 1 / heads
  shared_a: bool = True  # False: one A for every head
  shared_mask: bool = False  # True: q/k/v (gate/up) share one dropout mask

  def check(self):
    checked.require(
      self.rank >= 1, f"ILora.rank={self.rank} must be at least 1"
    )
    checked.require(
      self.heads >= 1, f"ILora.heads={self.heads} must be at least 1"
    )
    checked.require(
      0 <= self.dropout < 1, f"ILora.dropout={self.dropout} must be in [0, 1)"
    )
    checked.require(
      self.targets in ("lm", "lm+towers"),
      f'ILora.targets={self.targets!r} must be "lm" or "lm+towers"',
    )
    checked.require(
      self.router in ("token", "uniform"),
      f'ILora.router={self.router!r} must be "token" or "uniform"',
    )

  @property
  def scale(self) -> float:
    return self.alpha / self.rank
