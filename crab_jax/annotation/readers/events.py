"""Sets of events: AVE, LLP (AVVP), UnAV-100."""

import functools
from collections.abc import Iterator
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation.readers import source


def ave(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`category&id&quality&start&end`, whole seconds; with or without header."""
  splits = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}
  found = {
    split: path
    for split, name in splits.items()
    for path in files.find(folder, name)[:1]
  }
  if not found:
    found = {"": source.one_of(folder, "Annotations.txt")}
  for split, path in found.items():
    yield from source.each(path, functools.partial(_ave, split=split))


def _ave(line: str, split: str) -> dict[str, Any] | source.Skip | None:
  category, name, _, start, end = line.split("&")
  if start.strip().lower().startswith("start"):
    return None  # the header of some copies
  event = {"label": category, "start": int(start), "end": int(end)}
  if event["start"] == event["end"]:  # some lines of the published file
    return source.Skip("no_length", f"{category} of {name} has no length")
  return {
    "task": "ave",
    "split": split,
    "group": name,
    "video": (name,),
    "events": [event],
    "source": "ave",
    "vid": name,
  }


def avvp(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """Tab-separated: weak labels for training, times for the rest."""
  train = source.one_of(folder, "AVVP_train.csv")
  yield from source.named(train, _weak, "\t")
  told: dict[str, list[dict]] = {}
  first: dict[str, str] = {}
  for modality in ("audio", "visual"):
    path = source.one_of(folder, f"AVVP_eval_{modality}.csv")
    for where, row in source.named(path, dict, "\t"):
      if isinstance(row, source.Skip):
        yield where, row
        continue
      try:
        event = _timed(row, modality)
      except (LookupError, ValueError) as error:
        yield where, source.Skip("damaged", f"{error!r} in {row}")
        continue
      told.setdefault(row["filename"], []).append(event)
      first.setdefault(row["filename"], where)
  splits = _eval_splits(folder)
  for name in dict.fromkeys((*splits, *told)):
    yield (
      first.get(name, f"{name} in no AVVP_eval file"),
      {**_clip(name), "split": splits.get(name, "test"),
       "events": told.get(name, [])},
    )  # fmt: skip


def _timed(row: dict[str, str], modality: str) -> dict[str, Any]:
  start, end = float(row["onset"]), float(row["offset"])
  label = row["event_labels"]
  if not label or not 0 <= start < end:
    raise ValueError("an event needs a label and a length")
  return {"label": label, "start": start, "end": end, "modality": modality}


def _clip(name: str) -> dict[str, Any]:
  """Of a name like `{id}_{from}_{to}`: ids hold underscores too."""
  video = name.rsplit("_", 2)[0]
  return {
    "task": "avvp",
    "group": video,
    "video": (name, video),
    "source": "avvp",
    "filename": name,
    "vid": video,
  }


def _weak(row: dict[str, str]) -> dict[str, Any]:
  names = [name for name in row["event_labels"].split(",") if name.strip()]
  return {**_clip(row["filename"]), "split": "train", "label": names}


def _eval_splits(folder: files.Path) -> dict[str, str]:
  """Name -> val or test, of the lists of weak labels."""
  found = {}
  for split in ("val", "test"):
    for path in files.find(folder, f"AVVP_{split}_pd.csv")[:1]:
      for _, row in source.named(path, dict, "\t"):
        if isinstance(row, dict):
          found[row["filename"]] = split
  return found


def unav(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`database[id] = {subset, duration, annotations}`, float seconds."""
  path = source.one_of(
    folder, "unav100_annotations.json", "unav100.json", "annotations.json"
  )
  tree = source.document(path)
  clips = tree.get("database") if isinstance(tree, dict) else None
  if not isinstance(clips, dict):
    raise errors.UserError(f"{path} should be an object with a database")
  for name, clip in clips.items():
    where = f"{path.name} {name}"
    try:
      row = _unav(name, clip)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
      yield where, source.Skip("damaged", repr(error))
      continue
    for event in row["events"]:
      if event["start"] == event["end"]:
        reason = f"{event['label']} of {name} has no length"
        yield where, source.Skip("no_length", reason)
    row["events"] = [e for e in row["events"] if e["start"] != e["end"]]
    yield where, row


def _unav(name: str, clip: dict[str, Any]) -> dict[str, Any]:
  events = [
    {
      "label": event["label"],
      "start": max(float(event["segment"][0]), 0.0),
      "end": float(event["segment"][1]),
    }
    for event in clip["annotations"]
  ]
  return {
    "task": "unav",
    "split": source.SPLITS[clip["subset"].lower()],
    "group": name,
    "video": (name,),
    "events": events,
    "source": "unav",
    "vid": name,
  }
