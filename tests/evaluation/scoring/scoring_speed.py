"""Times the scoring of 10,000 predictions of each task.

  python -m tests.evaluation.scoring.scoring_speed [--rows 10000] [--task ave]

Rows are made up, a third of them wrong and one in fifty unreadable; written as
predictions/{task}.jsonl, then read, parsed and scored as --rescore does it.
Prints the seconds of each task, from the file to its score.
"""

import argparse
import json
import pathlib
import tempfile
import time

from crab_jax.data import tasks
from crab_jax.evaluation.scoring import score_sheet
from tests.evaluation import fabricated

_TABLE = tasks.Tasks()


def seconds(task: str, count: int) -> float:
  """How long the file of so many rows takes, read and scored."""
  rows = fabricated.rows(task, [i % 3 != 0 for i in range(count)])
  for row in rows[::50]:
    row["text"] = "I can neither see nor hear what was asked for."
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / f"{task}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    start = time.perf_counter()
    found = score_sheet.of_folder(path.parent, _TABLE).scored[task]
    taken = time.perf_counter() - start
  assert found.n == count
  return taken


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--rows", type=int, default=10_000)
  parser.add_argument("--task", choices=list(_TABLE))
  arguments = parser.parse_args()
  for task in [arguments.task] if arguments.task else list(_TABLE):
    print(f"{task:9} {seconds(task, arguments.rows):5.2f} s", flush=True)


if __name__ == "__main__":
  main()
