"""Sets of sounding objects: AVSBench S4 and MS3, Ref-AVS."""

from collections.abc import Iterator
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation.readers import source

_FRAMES = 5  # of a clip of AVSBench, one a second
_REFERRED = 10  # of a clip of Ref-AVS


def s4(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`name, start, category, split`, by position; training has one mask."""
  yield from _single(folder, "s4")


def arig(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """The clips of S4; the answer is the box of the mask."""
  yield from _single(folder, "arig")


def _single(folder: files.Path, task: str) -> Iterator[source.Line]:
  path = source.one_of(folder, "s4_meta_data.csv")
  for where, cells in _cells(path):
    if len(cells) < 4 or cells[3] not in source.SPLITS:
      yield (
        where,
        source.Skip("damaged", f"no name, start, category, split: {cells}"),
      )
      continue
    name, _, category, split = cells[:4]
    inside = f"{split}/{category}/{name}"
    for number in range(1, 2 if split == "train" else _FRAMES + 1):
      yield where, _frame(task, name, inside, number, category, split)


def _cells(path: files.Path) -> Iterator[tuple[str, list[str]]]:
  """The cells of each line but the header, which ends in "split"."""
  for where, row in source.table(path, lambda cells: {"cells": cells}):
    assert isinstance(row, dict)
    if row["cells"][-1] != "split":
      yield where, row["cells"]


def _frame(
  task: str, name: str, inside: str, number: int, thing: str, split: str
) -> dict[str, Any]:
  """A row of a frame; files count from 1, frames from 0."""
  return {
    "task": task,
    "split": source.SPLITS[split],
    "group": name,
    "image": f"visual_frames/{inside}/{name}_{number}.png",
    "audio": (f"audio_wav/{inside}", name),
    "mask": f"gt_masks/{inside}/{name}_{number}.png",
    "object": thing,
    "frame": number - 1,
    "source": task,
    "vid": name,
  }


def ms3(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`name .. split`; names of the objects are in metadata.csv of AVSBench v2."""
  path = source.one_of(folder, "ms3_meta_data.csv")
  names = _objects(folder)
  for where, cells in _cells(path):
    name, split = cells[0], cells[-1]
    if len(cells) < 2 or split not in source.SPLITS:
      yield where, source.Skip("damaged", f"no name and split: {cells}")
      continue
    thing = names.get(name)
    if thing is None:
      yield (
        where,
        source.Skip("no_object", f"metadata.csv does not name {name}"),
      )
      continue
    for number in range(1, _FRAMES + 1):
      row = _frame("ms3", name, f"{split}/{name}", number, thing, split)
      # Frames lie in no split; those that are handed out keep the ".mp4".
      frames = f"visual_frames/{name}/{name}"
      row["image"] = (f"{frames}_{number}", f"{frames}.mp4_{number}")
      yield where, row


def _objects(folder: files.Path) -> dict[str, str]:
  """Clip -> what sounds in it, of the rows of the set v1m."""
  paths = files.find(folder, "metadata.csv")
  if not paths:
    raise errors.UserError(
      f"{folder} has no metadata.csv of AVSBench v2, which names the objects"
    )
  found = {}
  for _, row in source.named(paths[0], dict):
    if isinstance(row, dict) and row.get("label") == "v1m":
      for key in ("vid", "uid"):
        found[row.get(key, "")] = row.get("a_obj", "")
  return {name: thing for name, thing in found.items() if name and thing}


def ref_avs(
  folder: files.Path, options: source.Options
) -> Iterator[source.Line]:
  """`vid,uid,split,fid,exp`; of test_n nothing is there."""
  path = source.one_of(folder, "metadata.csv")
  for where, row in source.named(path, dict):
    if isinstance(row, source.Skip):
      yield where, row
      continue
    missing = {"vid", "uid", "split", "fid", "exp"} - {*row}
    split = row.get("split", "").split("_")[0]
    if missing or split not in source.SPLITS:
      yield (
        where,
        source.Skip("damaged", f"no vid, uid, split, fid, exp: {row}"),
      )
      continue
    for number in range(_REFERRED):
      yield where, _referred(row, source.SPLITS[split], number)


def _referred_object(row: dict[str, str]) -> str:
  """What an expression means, of a uid like `{vid}_{object}_{number}`."""
  uid = row["uid"].removeprefix(f"{row['vid']}_")
  thing, _, number = uid.rpartition("_")
  return thing.replace("-", " ") if number.isdecimal() else ""


def _referred(row: dict[str, str], split: str, number: int) -> dict[str, Any]:
  vid, there = row["vid"], row["split"] != "test_n"
  mask = f"gt_mask/{vid}/fid_{row['fid']}/{number:05d}.png"
  return {
    "task": "ref_avs",
    "split": split,
    "group": vid,
    "image": f"media/{vid}/frames/{number}.jpg",
    "audio": (f"media/{vid}/audio",),
    "mask": mask if there else "",
    "expression": row["exp"],
    "object": _referred_object(row) if there else "",
    "exists": there,
    "frame": number,
    "source": "ref_avs",
    "vid": vid,
    "uid": row["uid"],
    "fid": row["fid"],
    "subset": row["split"],
  }
