"""Does reasoning by templates train as well as that of the embedded world?

  python -m tests.annotation.compare_writers FOLDER

Run by hand: it trains three models of gin/base.gin. The reasoning of the world
is thrown away and written anew from the labels, once by templates and once not
at all; each is prepared and trained alike, with gin/data/records.gin. For each
dataset it prints the three scores, and the differences from the world's own in
standard errors. It exits with 1 if templates are off by more than two. What is
done is not done again.
"""

import json
import math
import os
import pathlib
import subprocess
import sys

from crab_jax import configs
from crab_jax.synthetic import build
from tests.annotation import from_world

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_WRITERS = ("own", "template", "bare")
_MOST = 2.0  # standard errors


def _run(command, *flags):
  subprocess.run(
    [sys.executable, "-m", f"crab_jax.{command}", *map(str, flags)],
    cwd=_ROOT, check=True, env={**os.environ, "PYTHONPATH": str(_ROOT)},
  )  # fmt: skip


def _records(folder: pathlib.Path, writer: str) -> pathlib.Path:
  """The records of a writer; each command goes on where it was stopped."""
  world, records = folder / "world/AVUIE_2", folder / f"records_{writer}"
  if writer == "own":
    _run("prepare", f"--source={world}", f"--out={records}")
    return records
  source = folder / "my.csv"
  from_world.write(world, source)
  _run(
    "annotate", f"--source={source}", f"--media={world}",
    f"--out={folder}/{writer}", f"--writer={writer}", "--allow_overlap",
    f"--records={records}",
  )  # fmt: skip
  return records


def scores(folder: pathlib.Path, writer: str) -> dict[str, dict]:
  """The scores by dataset after training on what a writer wrote."""
  run = folder / f"run_{writer}"
  if not (run / "report.json").is_file():
    records = _records(folder, writer)
    _run(
      "train", "--gin_file=gin/base.gin", "--gin_file=gin/data/records.gin",
      f"--workdir={run}", f'--gin_param=Experiment.records="{records}"',
    )  # fmt: skip
  return json.loads((run / "report.json").read_text())["tasks"]


def apart(one: dict, other: dict) -> float:
  """How many standard errors two scores are apart.

  Of a share of right answers; other scores in 0..1 vary less. A share of 0 or 1
  counts half an answer, or its error would be none.
  """
  variances = []
  for score in (one, other):
    n = score["n"]
    share = min(max(score["value"], 0.5 / n), 1 - 0.5 / n)
    variances.append(share * (1 - share) / n)
  return (one["value"] - other["value"]) / math.sqrt(sum(variances))


def main(folder: pathlib.Path) -> int:
  """Prints the comparison; 1 if templates are off."""
  if not (folder / "world/AVUIE_2").is_dir():
    build.write(folder / "world", configs.World())
  found = {writer: scores(folder, writer) for writer in _WRITERS}
  off = 0
  print("dataset    own   template (s.e.)   bare (s.e.)")
  for name, own in sorted(found["own"].items()):
    cells = []
    for writer in _WRITERS[1:]:
      score = found[writer][name]
      errors = apart(score, own)
      off += writer == "template" and abs(errors) > _MOST
      cells.append(f"{score['value']:.3f} ({errors:+.1f})")
    print(f"{name:10} {own['value']:.3f}  {'  '.join(cells)}")
  print(f"{off} of {len(found['own'])} datasets: templates are off")
  return int(off > 0)


if __name__ == "__main__":
  sys.exit(main(pathlib.Path(sys.argv[1])))
