"""The adapter: interaction-aware LoRA and, as settings of it, its baselines.

`ILora` answers what the rest of the package asks about an adapter: whether it
routes, which parameters a projection gets, what they cost, what may differ
between two adapters that fit one model, and why the official file cannot hold
it. `models.ilora` computes the update.
"""

import dataclasses
import math
from typing import Any

from crab_jax.configs import checked

# How the heads of a token are weighed; `models.ilora.gates_of` does it.
ROUTERS = (
  "token",  # by the softmax of a router
  "uniform",  # alike: every head weighs 1 / heads
  "top1",  # the head of the largest gate alone, by its softmax value
  "task",  # as "token", with a bias of the logits for the task of the token
)
# Settings that change training alone: adapters that differ in them fit.
_TRAINING = ("dropout", "shared_mask")


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
  router: str = "token"  # one of ROUTERS
  tasks: int = 19  # rows of the biases of router="task", 1 to 1024
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
      1 <= self.tasks <= 1024, f"ILora.tasks={self.tasks} must be in 1..1024"
    )
    checked.require(
      self.router in ROUTERS,
      f"ILora.router={self.router!r} must be one of {', '.join(ROUTERS)}",
    )

  @property
  def scale(self) -> float:
    """What the update is multiplied by."""
    return self.alpha / self.rank

  @property
  def routes(self) -> bool:
    """Whether the weights of the heads depend on the token."""
    return self.heads > 1 and self.router != "uniform"

  @property
  def is_mixture(self) -> bool:
    """Whether the weights of a token's heads sum to 1."""
    # By name: a new router is taken for none, and so is not merged by mistake.
    return self.router in ("token", "uniform", "task")

  @property
  def reads_tasks(self) -> bool:
    """Whether the router reads the task of a token."""
    return self.routes and self.router == "task"

  def task_obstacle(self, tasks: int) -> str | None:
    """Why the adapter cannot train on so many tasks; None: it can."""
    if self.reads_tasks and tasks > self.tasks:
      return (
        f"ILora.tasks={self.tasks}: the router has fewer biases than there are"
        f" tasks, which are {tasks}"
      )
    return None

  @property
  def in_towers(self) -> bool:
    """Whether the towers are adapted too, beside the decoder."""
    return self.targets == "lm+towers"

  def shapes(self, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the parameters that a projection gets.

    Args:
      inputs: columns that the projection reads.
      outputs: columns that it writes.
    """
    down = (inputs, self.rank)
    shapes: dict[str, tuple[int, ...]] = {
      "lora_A": down if self.shared_a else (self.heads, *down),
      "lora_B": (self.heads, self.rank, outputs),
    }
    if self.routes:
      shapes["lora_route"] = (inputs, self.heads)
    if self.reads_tasks:
      shapes["lora_task"] = (self.tasks, self.heads)
    return shapes

  def parameters(self, inputs: int, outputs: int) -> int:
    """Number of parameters that a projection gets."""
    return sum(map(math.prod, self.shapes(inputs, outputs).values()))

  @property
  def tensors(self) -> int:
    """Tensors that a projection gets, each head of B counted as one."""
    return len(self.shapes(1, 1)) - 1 + self.heads

  def flops(self, inputs: int, outputs: int) -> int:
    """Forward FLOPs of a token in a projection.

    Every parameter meets every token once, in a multiplication and an
    addition; of the biases a token adds one row. The weighting of the codes by
    the gates is not counted.
    """
    biases = self.shapes(inputs, outputs).get("lora_task", (0, 0))
    products = self.parameters(inputs, outputs) - math.prod(biases)
    return 2 * products + biases[1]

  @property
  def network(self) -> dict[str, Any]:
    """ "ILora.field" -> JSON value of all but what changes training alone."""
    training = {f"{type(self).__name__}.{name}" for name in _TRAINING}
    return {n: x for n, x in self.named().items() if n not in training}

  def differences(self, wanted: "ILora") -> list[str]:
    """Settings that keep this adapter from standing where `wanted` does."""
    theirs = wanted.network
    return [
      f"{name.rpartition('.')[2]} {value!r} and not {theirs[name]!r}"
      for name, value in self.network.items()
      if value != theirs[name]
    ]

  @property
  def official_obstacle(self) -> str | None:
    """Why the official file cannot hold this adapter; None: it can."""
    if not self.shared_a:
      return "it has one A for all heads, and this adapter one a head"
    if self.router == "top1":
      return 'all heads act on a token in it, and one does with router="top1"'
    if self.router == "task":
      return 'its router has no bias for a task, as router="task" has'
    return None
