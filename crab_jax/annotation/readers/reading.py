"""The table of readers, and the rows that one gives."""

import collections
import dataclasses
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import schema
from crab_jax.annotation.readers import actions
from crab_jax.annotation.readers import emotions
from crab_jax.annotation.readers import events
from crab_jax.annotation.readers import places
from crab_jax.annotation.readers import questions
from crab_jax.annotation.readers import source


@dataclasses.dataclass(frozen=True)
class Reader:
  """How the files of a set are read.

  Attributes:
    read: (folder, options) -> lines.
    files: what it reads.
    rows: of the published files, by split ("": of all); {}: not known.
    fold: of which the counts are; 0: of any.
    note: what the files do not tell and is taken to be so.
  """

  read: Callable[[files.Path, source.Options], Iterator[source.Line]]
  files: str
  rows: dict[str, int] = dataclasses.field(default_factory=dict)
  fold: int = 0
  note: str = ""


READERS = {
  "ave": Reader(
    events.ave, "trainSet.txt, valSet.txt, testSet.txt, else Annotations.txt",
    {"": 4143},
  ),
  "avvp": Reader(
    events.avvp,
    "AVVP_train.csv, AVVP_eval_audio.csv, AVVP_eval_visual.csv, AVVP_val_pd.csv,"
    " AVVP_test_pd.csv",
  ),
  "unav": Reader(events.unav, "unav100_annotations.json"),
  "avqa": Reader(
    questions.avqa, "avqa-train.json, avqa-val.json, avqa-test.json (--labels)"
  ),
  "avqa_thu": Reader(questions.avqa_thu, "JSON lists named train, val, test"),
  "s4": Reader(places.s4, "s4_meta_data.csv, gt_masks, visual_frames"),
  "arig": Reader(places.arig, "as s4"),
  "ms3": Reader(places.ms3, "ms3_meta_data.csv, metadata.csv of AVSBench v2"),
  "ref_avs": Reader(places.ref_avs, "metadata.csv, media, gt_mask"),
  "cremad": Reader(
    emotions.cremad, "processedResults/summaryTable.csv (--cremad)",
    {"": 7442},
  ),
  "meld": Reader(
    emotions.meld, "train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv",
    {"train": 9989, "val": 1109, "test": 2610},
  ),
  "dfew": Reader(
    emotions.dfew, "train(single-labeled)/set_1.csv, test(..) (--fold)",
    {"train": 9356, "test": 2341}, fold=1, note=emotions.DFEW_NOTE,
  ),
  "mafw": Reader(
    emotions.mafw,
    "single/no_caption/set_1/train.txt, test.txt, single_label.txt (--fold)",
    {"": 9172},
  ),
  "mer24": Reader(emotions.mer24, "a CSV with name, discrete"),
  "ks": Reader(actions.ks, "a CSV of Kinetics, classes.txt with 31 classes"),
  "ucf": Reader(actions.ucf, "trainlist01.txt, testlist01.txt (--fold)"),
  "a2v": Reader(actions.a2v, "vggsound.csv; pairs are made"),
  "v2a": Reader(actions.v2a, "vggsound.csv; pairs are made"),
  "avcap": Reader(actions.avcap, "desc_train.json, desc_val.json, desc_test.json"),
}  # fmt: skip


def listing() -> str:
  """The table as text."""
  width = max(map(len, READERS))
  return "\n".join(
    f"{name.ljust(width)}  {reader.files}" for name, reader in READERS.items()
  )


def read(
  name: str,
  folder: files.Path,
  media: files.Path,
  options: source.Options,
  show: Callable[[str], object] = print,
) -> tuple[list[tuple[str, dict[str, Any]]], list[schema.Fault]]:
  """The lines of a set, and those that are damaged.

  What is left out on purpose (deleted questions, ties) is shown, as is how the
  counts differ from the published ones.

  Args:
    name: of a reader.
    folder: of its files.
    media: the folder of the clips.
    options: where the set has several forms.
    show: takes what is to be told.

  Raises:
    UserError: there is no such reader, or a file is missing.
  """
  if name not in READERS:
    raise errors.UserError(f"--reader={name}: there are {', '.join(READERS)}")
  index = source.Index(media)
  found, faults = [], []
  left: collections.Counter[str] = collections.Counter()
  for where, values in READERS[name].read(folder, options):
    if isinstance(values, dict):
      found.append((where, source.locate(values, index)))
    elif values.status == "damaged":
      faults.append(schema.Fault(where, values.reason))
    else:
      left[values.status] += 1
  for status, count in left.items():
    show(f"{name}: {count} left out, {status}")
  reader = READERS[name]
  if reader.note:
    show(f"{name}: {reader.note}")
  if reader.fold in (0, options.fold):
    for text in _differences(name, found, left.total() + len(faults)):
      show(text)
  return found, faults


def _differences(name: str, found: list, left: int) -> list[str]:
  """How many rows there are in the place of how many."""
  told = []
  for split, wanted in READERS[name].rows.items():
    count = sum(not split or v.get("split") == split for _, v in found)
    count += left if not split else 0
    if count != wanted:
      where = f" {split}" if split else ""
      told.append(
        f"{name}{where}: {count} rows, the published set has {wanted}"
      )
  return told
