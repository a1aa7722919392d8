"""Results of runs that nobody trained: the numbers are the test's own."""

from collections.abc import Callable

from crab_jax import configs
from crab_jax.ablation import comparison
from crab_jax.ablation import grid
from crab_jax.ablation import rates

GROUPS = {"action": ("ks",), "emotion": ("meld", "cremad")}
TASKS = grid.datasets(GROUPS)
STUDY = configs.Transfer(
  methods=("lora", "ilora_e2"),
  seeds=(0, 1),
  pairs=("ilora_e2",),
)
Number = Callable[[grid.Run, str], float]  # of a run and a dataset


def result(
  run: grid.Run, score: Number, loss: Number, gates: dict | None = None
) -> dict:
  """What `Executor.execute` gives of a run."""
  found = {
    "steps": 2 * len(run.tasks),
    "seconds": 1.0,
    "parameters": 100 if run.method == "lora" else 200,
    "heads": 1 if run.method == "lora" else 2,
    # Alone a dataset is seen a fifth more often.
    "samples": dict.fromkeys(run.tasks, 12 if len(run.tasks) == 1 else 10),
    "loss": 1.0,
    "losses": {task: loss(run, task) for task in run.tasks},
    "scores": {
      task: {"metric": "accuracy", "value": score(run, task), "chance": 0.25}
      for task in run.tasks
    },
  }
  routed = gates is not None and found["heads"] > 1
  return {**found, "gates": gates} if routed else found


def results(
  score: Number,
  loss: Number,
  gates: dict | None = None,
  study: configs.Transfer = STUDY,
) -> comparison.Results:
  """All runs of a study; `gates` are those of runs with all datasets."""
  runs = {
    run: result(run, score, loss, gates if run.label == grid.ALL else None)
    for run in (*rates.sweep(study, GROUPS), *grid.runs(study, GROUPS))
  }
  return comparison.Results(study, GROUPS, runs)
