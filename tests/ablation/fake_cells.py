"""Results of cells that nobody trained: the numbers are the test's own."""

from collections.abc import Callable

from crab_jax import configs
from crab_jax.ablation import comparison
from crab_jax.ablation import grid

GROUPS = {"action": ("ks",), "emotion": ("meld", "cremad")}
TASKS = grid.datasets(GROUPS)
STUDY = configs.Transfer(
  methods=("lora", "ilora_e2"),
  seeds=(0, 1),
  pairs=("ilora_e2",),
)
Number = Callable[[grid.Cell, str], float]  # of a cell and a dataset


def result(
  cell: grid.Cell, score: Number, loss: Number, gates: dict | None = None
) -> dict:
  """What `Bench.run` leaves of a cell."""
  found = {
    "steps": 2 * len(cell.tasks),
    "seconds": 1.0,
    "parameters": 100 if cell.method == "lora" else 200,
    "heads": 1 if cell.method == "lora" else 2,
    # Alone a dataset is seen a fifth more often.
    "samples": dict.fromkeys(cell.tasks, 12 if len(cell.tasks) == 1 else 10),
    "loss": 1.0,
    "losses": {task: loss(cell, task) for task in cell.tasks},
    "scores": {
      task: {"metric": "accuracy", "value": score(cell, task), "chance": 0.25}
      for task in cell.tasks
    },
  }
  return found if gates is None else {**found, "gates": gates}


def results(
  score: Number,
  loss: Number,
  gates: dict | None = None,
  study: configs.Transfer = STUDY,
) -> comparison.Results:
  """All cells of a study; `gates` are those of cells with all datasets."""
  cells = {
    cell: result(cell, score, loss, gates if cell.label == grid.ALL else None)
    for cell in grid.cells(study, GROUPS)
  }
  return comparison.Results(study, GROUPS, cells)
