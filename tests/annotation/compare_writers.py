"""Does reasoning by templates train as well as that of the embedded world?

  python -m tests.annotation.compare_writers FOLDER

Run by hand. What no writer touches is made once: the world, the tokenizer (of
the texts of all writers) and the frozen base of gin/base.gin, which
has seen no task. From there I-LoRA learns five sets with the same settings, in
two trainings each: on the world's own reasoning, on reasoning that templates wrote
from the labels, and on bare answers. The row of a question tells what is seen and
heard in its clip, and when, beside the answer; its hint tells colours and places.
Printed are the scores of each dataset on the same held-out clips, and how many
standard errors (of clips and of trainings) they lie from the first. Exits with 1 if
the mean of the templates is off by more than two. Stopped, it goes on; what is done
is not done again. STEPS=2000 for a longer tuning, WRITERS=own,template to leave out
bare answers.
"""

import itertools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
from typing import NamedTuple

from crab_jax import configs
from crab_jax.data import preparation
from crab_jax.data import prepared_records
from crab_jax.data import prompts
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tokenizer
from crab_jax.evaluation.reading import references
from crab_jax.paradigms.qwen2_5_omni import grammar
from crab_jax.synthetic import build
from tests.annotation import from_world

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_WRITERS = tuple(os.environ.get("WRITERS", "own,template,bare").split(","))
_SEEDS = (0, 1)
_DATA_SEED = 42  # of gin/base.gin
_STEPS = int(os.environ.get("STEPS", "600"))
# A set of each family in which a writer says something of the clip.
_SETS = {"ks": 0.7, "meld": 0.5, "avqa": 1.3, "avvp": 1.2, "s4": 1.0}
_MOST = 2.0  # standard errors
_VOCABULARY = 2048  # of gin/base.gin
_WORLD = configs.World(
  val_samples=64,
  test_samples=64,
  perception=True,
  train_factors={
    "avqa": 4, "avqa_thu": 3, "perceive_clip": 4, "perceive_picture": 3,
    "perceive_music": 2, "perceive_videos": 2, "perceive_audios": 2,
  },
)  # fmt: skip


def _run(command, *flags):
  subprocess.run(
    [sys.executable, "-m", f"crab_jax.{command}", *map(str, flags)],
    cwd=_ROOT, check=True, env={**os.environ, "PYTHONPATH": str(_ROOT)},
  )  # fmt: skip


def _train(run: pathlib.Path, records_: pathlib.Path, **settings):
  """One training of gin/base.gin; goes on where it was stopped."""
  if (run / "report.json").is_file():
    return
  settings |= {
    "Experiment.world": "None",
    "Experiment.records": f'"{records_}"',
    "MaskTraining.steps": "0",
    "Saving.every": "25",  # it may be stopped often
    "Experiment.compiled": f'"{run.parent / "compiled"}"',
    "Validation.every": "0",
    "Evaluation.base_alone": "False",
    "Evaluation.unified": "False",
    # Room for the longest targets of all: none is cut off, and a row of one writer
    # holds as many samples as that of another.
    "Evaluation.max_new_tokens": "160",
    "Rows.supervised": "384",
  }
  _run(
    "train", "--gin_file=gin/base.gin", f"--workdir={run}",
    *(f"--gin_param={k}={v}" for k, v in settings.items()),
  )  # fmt: skip


def _records(folder: pathlib.Path, writer: str) -> pathlib.Path:
  """The records of a writer."""
  world, made = folder / "world" / build.FOLDER, folder / f"records_{writer}"
  if (made / records.SUMMARY).is_file():
    return made
  if writer == "own":
    preparation.prepare(
      world, made, config=configs.Preparation(frame_size=112),
      table=build.table(_WORLD), check=references.has_object,
    )  # fmt: skip
    return made
  source, built = folder / "my.csv", folder / writer
  task = tasks.Tasks()["avqa"]
  from_world.write(
    world, source, tuple(_SETS),
    labelled={
      path: known
      for split in tasks.SPLITS
      for path, known in from_world.known(_WORLD, task, split).items()
    },
  )  # fmt: skip
  _run(
    "annotate", f"--source={source}", f"--media={world}", f"--out={built}",
    f"--writer={writer}", "--allow_overlap",
  )  # fmt: skip
  preparation.prepare(
    built, made, config=configs.Preparation(frame_size=112),
    check=references.has_object,
  )  # fmt: skip
  return made


def _tokenizer(folder: pathlib.Path) -> pathlib.Path:
  """One tokenizer for all, trained on what each of them wrote."""
  path = folder / "tokenizer.json"
  if not path.is_file():
    texts: list[str] = []
    for writer in _WRITERS:
      found = prepared_records.read(folder / f"records_{writer}")
      wording = prompts.load(None, found.table)
      rows = (
        record
        for task in found.splits()
        for record in itertools.islice(
          records.read_split(found.root, task, "train"), _WORLD.train_samples
        )
      )
      texts += samples.training_texts(rows, wording, grammar.GRAMMAR)
    tokenizer.train(texts, _VOCABULARY, grammar.GRAMMAR).save(path)
  return path


def scores(folder: pathlib.Path) -> dict[str, dict[str, "Score"]]:
  """Writer -> dataset, and "mean" -> score."""
  build.write(folder / "world", _WORLD)
  made = {writer: _records(folder, writer) for writer in _WRITERS}
  base = folder / "run_base"
  _train(
    base,
    made["own"],
    **{
      "Data.tokenizer": f'"{_tokenizer(folder)}"',
      "tuning/Stage.steps": "0",
      "Evaluation.limit": "1",  # it knows no task
    },
  )
  found: dict[str, list[dict[str, dict]]] = {}
  for seed in _SEEDS:
    for writer in _WRITERS:
      run = folder / f"run_{writer}_steps{_STEPS}_seed{seed}"
      _train(
        run,
        made[writer],
        **{
          "Experiment.base": f'"{base / "base"}"',
          "Experiment.seed": str(seed),
          "Data.seed": str(_DATA_SEED + seed),
          "pictures/Stage.steps": "0",
          "backbone/Stage.steps": "0",
          "tuning/Stage.steps": str(_STEPS),
          "Stage.mixture": str(_SETS),
          "Evaluation.tasks": str(tuple(_SETS)),
        },
      )
      every = json.loads((run / "report.json").read_text())["tasks"]
      found.setdefault(writer, []).append({name: every[name] for name in _SETS})
  return {writer: _of_seeds(of_seeds) for writer, of_seeds in found.items()}


class Score(NamedTuple):
  """A mean over trainings, and its standard error: of clips and of trainings."""

  value: float
  error: float


def _of_seeds(found: list[dict[str, dict]]) -> dict[str, Score]:
  """Dataset, and "mean" -> its score; of one item a training."""
  clips = {
    name: _error_of_clips([one[name] for one in found]) for name in _SETS
  }
  made = {}
  for name, error in clips.items():
    made[name] = _score([one[name]["value"] for one in found], error)
  means = [
    statistics.mean(one[name]["value"] for name in _SETS) for one in found
  ]
  of_all = math.hypot(*clips.values()) / len(clips)
  return made | {"mean": _score(means, of_all)}


def _score(values: list[float], of_clips: float) -> Score:
  """All trainings are asked about the same clips: more of them add none."""
  of_trainings = statistics.stdev(values) / math.sqrt(len(values))
  return Score(statistics.mean(values), math.hypot(of_clips, of_trainings))


def _error_of_clips(found: list[dict]) -> float:
  """The standard error of a share of right answers.

  Other scores in 0..1 vary less. A share of 0 or 1 counts half an answer, or its
  error would be none.
  """
  n = found[0]["n"]
  share = statistics.mean(score["value"] for score in found)
  share = min(max(share, 0.5 / n), 1 - 0.5 / n)
  return math.sqrt(share * (1 - share) / n)


def apart(one: Score, other: Score) -> float:
  """How many standard errors two scores are apart."""
  return (one.value - other.value) / math.hypot(one.error, other.error)


def main(folder: pathlib.Path) -> int:
  """Prints the comparison; 1 if templates are off."""
  found = scores(folder.absolute())
  own = found.pop("own")
  print(f"| set | own | {' | '.join(found)} |")
  print("|---|---:|" + "---|" * len(found))
  for name, score in own.items():
    cells = [f"{score.value:.3f}"]
    for others in found.values():
      far = apart(others[name], score)
      cells.append(f"{others[name].value:.3f} ({far:+.1f})")
    print(f"| {name} | {' | '.join(cells)} |")
  return int(abs(apart(found["template"]["mean"], own["mean"])) > _MOST)


if __name__ == "__main__":
  sys.exit(main(pathlib.Path(sys.argv[1])))
