"""Kinetics-Sounds, UCF-101, pairs of VGGSound, and captions of VALOR-32K."""

import functools
import random
import re
from collections.abc import Iterator
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation.readers import source

_CLASSES = 31  # of Kinetics-Sounds
_GROUP = re.compile(r"_g(\d+)_c\d+")


def ks(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`label, youtube_id, time_start, time_end, split`, and `classes.txt`."""
  lists = files.find(folder, "classes.txt")
  wanted = set()
  if lists:
    wanted = {
      n.strip() for n in source.text(lists[0]).splitlines() if n.strip()
    }
  paths = [
    path
    for path in files.find(folder, "*.csv")
    if "youtube_id" in source.text(path).split("\n")[0]
  ]
  if not paths:
    raise errors.UserError(f"{folder} has no CSV with the column youtube_id")
  lines = [
    line
    for path in paths
    for line in source.named(path, lambda row: _ks(row, wanted))
  ]
  names = {row["label"] for _, row in lines if isinstance(row, dict)}
  if not wanted and len(names) > _CLASSES:
    raise errors.UserError(
      f"{folder} has no classes.txt, and {len(names)} classes: name those of"
      f" Kinetics-Sounds there, one a line; there are {_CLASSES}"
    )
  yield from lines


def _ks(row: dict[str, str], wanted: set[str]) -> dict[str, Any] | source.Skip:
  if wanted and row["label"] not in wanted:  # the lists are of all Kinetics
    return source.Skip("other_class", f"{row['label']} is not in classes.txt")
  name = row["youtube_id"]
  start, end = int(float(row["time_start"])), int(float(row["time_end"]))
  return {
    "task": "ks",
    "split": source.SPLITS[row["split"].lower()],
    "group": name,
    "video": (f"{row['label']}/{name}_{start:06d}_{end:06d}",
              f"{name}_{start:06d}_{end:06d}", name),
    "label": row["label"],
    "source": "ks",
  }  # fmt: skip


def ucf(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`Class/v_Class_gNN_cNN.avi n`; the groups gNN are divided by the lists."""
  for split in ("train", "test"):
    path = source.one_of(folder, f"{split}list{options.fold:02d}.txt")
    yield from source.each(path, functools.partial(_ucf, split=split))


def _ucf(line: str, split: str) -> dict[str, Any]:
  name = line.split()[0]
  label, clip = name.split("/")
  match = _GROUP.search(clip)
  if match is None:
    raise ValueError(f"{clip!r} has no group gNN")
  bare = name.removesuffix(".avi")
  return {
    "task": "ucf",
    "split": split,
    "group": f"{label} g{match[1]}",
    "video": (bare, bare.split("/")[1]),
    "label": label,
    "source": "ucf",
  }


def a2v(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """Which of two videos has this sound."""
  yield from _pairs(folder, options.seed, "a2v")


def v2a(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """Which of two sounds has this video."""
  yield from _pairs(folder, options.seed, "v2a")


def _pairs(folder: files.Path, seed: int, task: str) -> Iterator[source.Line]:
  """Each clip with one of another class and the same split, sides in turn."""
  path = source.one_of(folder, "vggsound.csv")
  clips: list[tuple[str, dict[str, Any]]] = []
  for where, row in source.table(path, _vgg):
    if isinstance(row, source.Skip):
      yield where, row
    else:
      clips.append((where, row))
  rng = random.Random(seed)
  by_split: dict[str, list[dict[str, Any]]] = {}
  for _, clip in clips:
    by_split.setdefault(clip["split"], []).append(clip)
  sides: dict[str, int] = {}
  for where, clip in clips:
    others = by_split[clip["split"]]
    if all(other["label"] == clip["label"] for other in others):
      yield where, source.Skip("no_distractor", "no other class in its split")
      continue
    other = rng.choice(others)
    while other["label"] == clip["label"]:
      other = rng.choice(others)
    side = sides.get(clip["split"], 0)
    sides[clip["split"]] = 1 - side
    yield where, _pair(task, clip, other, side)


def _vgg(cells: list[str]) -> dict[str, Any]:
  name, start, label, split = cells
  return {
    "names": (f"{name}_{int(start):06d}", name),
    "label": label,
    "split": source.SPLITS[split],
    "id": name,
  }


def _pair(
  task: str, clip: dict[str, Any], other: dict[str, Any], side: int
) -> dict[str, Any]:
  first, second = (clip, other) if side == 0 else (other, clip)
  given, candidate = ("audio", "video") if task == "a2v" else ("video", "audio")
  return {
    "task": task,
    "split": clip["split"],
    given: clip["names"],
    candidate: first["names"],
    f"{candidate}2": second["names"],
    "label": str(side + 1),
    "source": task,
    f"{given}_event": clip["label"],
    f"{candidate}1_event": first["label"],
    f"{candidate}2_event": second["label"],
  }


def avcap(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`desc_{split}.json`: `[{video_id, desc}]`."""
  found = False
  for split in ("train", "val", "test"):
    for path in files.find(folder, f"desc_{split}.json")[:1]:
      found = True
      yield from source.items(path, functools.partial(_avcap, split=split))
  if not found:
    raise errors.UserError(f"{folder} has no desc_train.json")


def _avcap(row: dict[str, Any], split: str) -> dict[str, Any]:
  return {
    "task": "avcap",
    "split": split,
    "video": (row["video_id"],),
    "caption": row["desc"],
    "source": "avcap",
    "video_id": row["video_id"],
  }
