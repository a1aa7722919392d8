"""Writes the world: annotations and media of all datasets, or nothing.

The layout is that of AV-UIE v2 (`AVUIE_2/{task}/train.json`, ..); beside each
`{split}.json` lies `{split}_truth.jsonl`, the hidden truth of its records.
Everything is written into a folder beside the final one, which is renamed
when it is complete: a world that was interrupted is never found under its
name. Three splits are written, a `val` with the keys of train for all.
"""

import dataclasses
import json

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import tasks
from crab_jax.data import worker_pool
from crab_jax.synthetic import action
from crab_jax.synthetic import attributes
from crab_jax.synthetic import captioning
from crab_jax.synthetic import choices
from crab_jax.synthetic import emotion
from crab_jax.synthetic import localization
from crab_jax.synthetic import matching
from crab_jax.synthetic import music
from crab_jax.synthetic import occasions
from crab_jax.synthetic import perception
from crab_jax.synthetic import plans
from crab_jax.synthetic import reference
from crab_jax.synthetic import segmentation

FOLDER = "AVUIE_2"
MARKER = "world.json"
_PART = 24  # jobs that a worker takes at once
# Grows when the same configuration begins to give other files.
VERSION = 7

# Where one family holds sets of different make, the set's own planner.
_OF_TASK = {
  "avqa": music.plan,
  "avqa_thu": choices.plan,
  "ref_avs": reference.plan,
}
_OF_FAMILY = {
  "matching": matching.plan,
  "action": action.plan,
  "emotion": emotion.plan,
  "localization": localization.plan,
  "segmentation": segmentation.plan,
  "captioning": captioning.plan,
  perception.FAMILY: perception.plan,
}


def table(world: configs.World) -> tasks.Tasks:
  """The sets that a world has: the 19, and what a base learns from."""
  return perception.table() if world.perception else tasks.Tasks()


def plan(
  task: tasks.Task, split: str, world: configs.World
) -> plans.Plan | None:
  """The records, truths and files of a split; None: it has no such split."""
  if split == "test" and not task.has_test:
    return None
  planner = _OF_TASK.get(task.name) or _OF_FAMILY[task.family]
  count = getattr(world, f"{split}_samples")
  if split == "train":
    count *= (world.train_factors or {}).get(task.name, 1)
  return planner(task, split, count, world.seed)


def write(root: files.Path, world: configs.World) -> dict[str, dict[str, int]]:
  """Writes the world to root/AVUIE_2, unless it is there.

  Args:
    root: the folder that holds AVUIE_2; made if absent.
    world: how much of it.

  Returns:
    Records by task and split.

  Raises:
    UserError: root/AVUIE_2 holds something else, or cannot be written, or
      frames of this size and rate cannot show the world, or a worker process
      was killed.
  """
  _check(world)
  final = files.path(root) / FOLDER
  config = dataclasses.asdict(world)
  marker = {"version": VERSION, "config": config}
  if final.exists():
    return _present(final, marker)
  try:
    with files.new_folder(final, MARKER) as folder:
      # The marker is last: `_present` takes a folder with it for a whole world.
      counts, jobs = _write_annotations(folder, world)
      _render(folder, jobs, world)
      files.write_json(folder / MARKER, {**marker, "counts": counts})
  except OSError as error:
    raise errors.UserError(
      f"the synthetic world cannot be written to {final.parent}: {error}"
    ) from error
  return counts


def _check(world: configs.World) -> None:
  table(world).require(world.train_factors or (), "World.train_factors")
  if world.video_size % 16 or world.video_size < 32:
    raise errors.UserError(
      f"World.video_size={world.video_size} must be a multiple of 16 from 32"
      " on: boxes are drawn on whole pixels"
    )
  if world.video_fps < 2:
    raise errors.UserError(
      f"World.video_fps={world.video_fps} must be at least 2: ten frames are"
      " taken of a clip of 5 s"
    )


def _present(final: files.Path, marker: dict) -> dict:
  """The counts of the world that is there, if it is the wanted one."""
  try:
    found = json.loads((final / MARKER).read_text(encoding="utf-8"))
  except (OSError, ValueError):
    found = {}
  if not isinstance(found, dict) or "counts" not in found:
    raise errors.UserError(
      f"{final} exists and is not a synthetic world (no {MARKER}); choose"
      " another folder"
    )
  if {key: found.get(key) for key in marker} != marker:
    raise errors.UserError(
      f"{final} holds a synthetic world of version {found.get('version')},"
      f" {found.get('config')}, not of version {marker['version']},"
      f" {marker['config']}; remove it or choose another folder"
    )
  return found["counts"]


def _write_annotations(folder: files.Path, world: configs.World):
  """Writes the JSON files; the counts, and the media still to write."""
  counts: dict[str, dict[str, int]] = {}
  jobs: list[plans.Job] = []
  for task in table(world).values():
    files.make_folder(folder / task.name)
    counts[task.name] = {}
    for split in attributes.SPLITS:
      planned = plan(task, split, world)
      if planned is None:
        continue
      counts[task.name][split] = len(planned.records)
      jobs += planned.jobs
      path = folder / task.name / f"{split}.json"
      files.write_json(path, planned.records)
      path = folder / task.name / f"{split}_truth.jsonl"
      files.write_json_lines(path, planned.truths)
    if world.unified_samples and task.family != perception.FAMILY:
      planned = occasions.plan(task, world.unified_samples, world.seed)
      counts[task.name][tasks.UNIFIED] = len(planned.records)
      jobs += planned.jobs
      path = folder / task.name / f"{tasks.UNIFIED}.json"
      files.write_json(path, planned.records)
  return counts, plans.merged(jobs)


@dataclasses.dataclass(frozen=True)
class _Media:
  """Writes the files of jobs into a folder, in any process."""

  folder: files.Path
  world: configs.World

  def write(self, jobs: list[plans.Job], tick: worker_pool.Tick) -> None:
    for job in jobs:
      job.write(self.folder, self.world.video_size, self.world.video_fps)
      tick(1)


def _render(folder: files.Path, jobs, world: configs.World) -> None:
  """Writes the media on all cores."""
  try:
    worker_pool.run(
      _Media(folder, world).write,
      # Small parts, so that no core waits long for the last one.
      [jobs[i : i + _PART] for i in range(0, len(jobs), _PART)],
      steps=len(jobs),
      workers=worker_pool.cores(),
      title="synthetic world",
      unit="clip",
    )
  except worker_pool.Died as error:
    raise errors.UserError(
      "a worker process that wrote the synthetic world died (out of memory?);"
      " start again"
    ) from error
