"""Sets of emotions: CREMA-D, MELD, DFEW, MAFW, MER2024."""

import functools
import os
from collections.abc import Iterator
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation.readers import source

_ACTED = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy",
          "NEU": "neutral", "SAD": "sad"}  # fmt: skip
_VOTED = {name[0]: label for name, label in _ACTED.items()}
# The order is not in the files: the user's copy should confirm it.
_DFEW = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
DFEW_NOTE = (
  f"classes 1 to 7 are taken as {', '.join(_DFEW)}: see that your copy says so"
)
_MAFW = ("anger", "disgust", "fear", "happiness", "neutral", "sadness",
         "surprise", "contempt", "anxiety", "helplessness",
         "disappointment")  # fmt: skip
_MELD = {
  "train": ("train", ("train_splits", "train")),
  "dev": ("val", ("dev_splits_complete", "dev")),
  "test": ("test", ("output_repeated_splits_test", "test")),
}


def cremad(
  folder: files.Path, options: source.Options
) -> Iterator[source.Line]:
  """`{actor}_{sentence}_{emotion}_{level}`; the class acted, or the vote."""
  path = source.one_of(folder, "processedResults/summaryTable.csv")
  yield from source.named(path, lambda row: _cremad(row, options.cremad))


def _cremad(row: dict[str, str], which: str) -> dict[str, Any] | source.Skip:
  cells = {name.lower(): cell for name, cell in row.items()}
  name = cells["filename"]
  actor, _, acted, _ = name.split("_")
  label = _ACTED[acted]
  if which == "voted":
    vote = cells["multimodalvote"]
    if ":" in vote:
      return source.Skip("tie", f"{name} is voted {vote}")
    label = _VOTED[vote]
  return {
    "task": "cremad",
    "group": actor,
    "video": (f"VideoFlash/{name}", name),
    "audio": (f"AudioWAV/{name}", name),
    "label": label,
    "source": "cremad",
  }


def meld(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`Sr No., Utterance, .. Dialogue_ID, Utterance_ID ..`, a file a split."""
  for name, (split, folders) in _MELD.items():
    path = source.one_of(folder, f"{name}_sent_emo.csv")
    yield from source.named(
      path, functools.partial(_meld, split=split, folders=folders)
    )


def _meld(
  row: dict[str, str], split: str, folders: tuple[str, ...]
) -> dict[str, Any]:
  dialogue, utterance = int(row["Dialogue_ID"]), int(row["Utterance_ID"])
  clip = f"dia{dialogue}_utt{utterance}"
  return {
    "task": "meld",
    "split": split,
    # Speakers are in all splits; dialogues are not.
    "group": f"{split} dialogue {dialogue}",
    "video": tuple(f"{inside}/{clip}" for inside in folders),
    "label": row["Emotion"],
    "transcript": row["Utterance"],
    "source": "meld",
  }


def dfew(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`video_name,label`, classes 1 to 7; files have five digits."""
  for split in ("train", "test"):
    name = f"{split}(single-labeled)/set_{options.fold}.csv"
    path = _in_folder(folder, name)
    yield from source.named(path, functools.partial(_dfew, split=split))


def _in_folder(folder: files.Path, name: str) -> files.Path:
  """A file that has a namesake in another folder."""
  for path in files.find(folder, os.path.basename(name)):
    if f"/{os.path.relpath(path, folder)}".endswith(f"/{name}"):
      return path
  raise errors.UserError(f"{folder} has no {name}")


def _dfew(row: dict[str, str], split: str) -> dict[str, Any]:
  number, label = int(row["video_name"]), int(row["label"])
  if not 1 <= label <= len(_DFEW):
    raise ValueError(f"the class {label} is none of 1 to {len(_DFEW)}")
  return {
    "task": "dfew",
    "split": split,
    "video": (f"{number:05d}", str(number)),
    "label": _DFEW[label - 1],
    "source": "dfew",
  }


def mafw(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`file label` a fold; `single_label.txt` has what people wrote."""
  hints = _hints(folder)
  for split in ("train", "test"):
    # Other folders hold compound classes, and lines with captions.
    inside = f"single/no_caption/set_{options.fold}/{split}.txt"
    path = _in_folder(folder, inside)
    yield from source.each(
      path, functools.partial(_mafw, split=split, hints=hints)
    )


def _mafw(line: str, split: str, hints: dict[str, str]) -> dict[str, Any]:
  name, label = line.split()
  bare = os.path.splitext(name)[0]
  if label.isdecimal():
    label = _MAFW[int(label)]
  if label.lower() not in _MAFW:
    raise ValueError(f"{label!r} is none of {', '.join(_MAFW)}")
  return {
    "task": "mafw",
    "split": split,
    "video": (bare,),
    "label": label,
    "hint": hints.get(bare, ""),
    "source": "mafw",
  }


def _hints(folder: files.Path) -> dict[str, str]:
  """Clip -> the English text, the last field of its line."""
  found = {}
  for path in files.find(folder, "single_label.txt")[:1]:
    for line in source.text(path).splitlines():
      cells = [cell.strip() for cell in line.split("\t")]
      # Marks and quotes of English text may be of any kind.
      letters = [c for c in cells[-1] if c.isalpha()]
      if len(cells) >= 4 and letters and all(map(str.isascii, letters)):
        found[os.path.splitext(cells[0])[0]] = cells[-1]
  return found


def mer24(folder: files.Path, options: source.Options) -> Iterator[source.Line]:
  """`name, discrete`."""
  paths = [
    path
    for path in files.find(folder, "*.csv")
    if {"name", "discrete"}
    <= {*source.text(path).split("\n")[0].strip().split(",")}
  ]
  if not paths:
    raise errors.UserError(
      f"{folder} has no CSV with the columns name, discrete"
    )
  for path in paths:
    yield from source.named(
      path,
      lambda row: {
        "task": "mer24",
        "video": (row["name"],),
        "label": row["discrete"],
        "source": "mer24",
      },
    )
