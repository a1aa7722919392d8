"""Small prepared records, and a folder of them, for the tests of the loader."""

import dataclasses
import json
import pathlib

import numpy as np

from crab_jax import configs
from crab_jax.data import encodings
from crab_jax.data import prompts
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.data import tfrecord
from crab_jax.data import tokenizer
from crab_jax.paradigms import front

MODEL = configs.tiny(
  audio=dataclasses.replace(configs.tiny().audio, pool=10),
  vision=configs.VisionTower(
    frame_size=56,
    layers=1,
    width=64,
    heads=2,
    mlp=64,
    patch=14,
    window=28,
    full_blocks=(0,),
  ),
)
DATA = configs.Data(threads=1, prefetch=2)
_SECONDS = {"tenths": 2.0, "sixtieths": 3.0, "four_seconds": 4.0}


def record(name: str, row: int, split: str = "train", **changes):
  """A record of a dataset whose media and text tell its row."""
  task = tasks.Tasks()[name]
  rng = np.random.default_rng([task.seed, row])
  count = task.frames * (2 if name == "a2v" else 1)
  frames = [
    encodings.encode_image(
      rng.integers(0, 255, (56, 56, 3), dtype=np.uint8), "png", 95
    )
    for _ in range(count)
  ]
  seconds = _SECONDS.get(task.window, 1.0) + 0.1 * (row % 5)
  wave = 0.1 * rng.standard_normal(int(16000 * seconds)).astype(np.float32)
  asked = {"question": "How many?", "options": ["a", "b"], "description": "it"}
  target = f"I see {row}. I hear {name}. <answer>{row}</answer>."
  fields = {
    "id": f"{name}/{split}/{row}",
    "task": name,
    "split": split,
    "row": row,
    "status": "ok",
    "frames": frames,
    "frame_seconds": [float(i) for i in range(count)],
    "audio": encodings.encode_audio(wave),
    "question": {field: asked[field] for field, _, _ in task.fields},
    "target": target,
    "reference": {"text": target},
    "mask": b"",
    "meta": {},
  }
  return records.Record(**{**fields, **changes})


def write_shard(path: pathlib.Path, found: list[records.Record]) -> None:
  """Writes records to one TFRecord file."""
  tfrecord.write(path, map(records.encode, found))


def write(root: pathlib.Path, found: list[records.Record], shard: int = 4):
  """Writes records as a finished preparation with so many a shard."""
  groups = {}
  for item in found:
    groups.setdefault((item.task, item.split), []).append(item)
  infos = {}
  for (name, split), items in groups.items():
    parts = [items[i : i + shard] for i in range(0, len(items), shard)]
    for index, part in enumerate(parts):
      file = records.shard_name(split, index, len(parts))
      write_shard(records.folder(root, name) / file, part)
    lengths = [str(len(part)) for part in parts]
    infos.setdefault(name, []).append({"name": split, "shardLengths": lengths})
  for name, rows in infos.items():
    info = records.folder(root, name) / "dataset_info.json"
    info.write_text(json.dumps({"splits": rows}))
  (root / records.SUMMARY).write_text("{}")


def small_tokenizer(found: list[records.Record]) -> tokenizer.Tokenizer:
  grammar = front.of(MODEL).grammar
  wording = prompts.load(None, tasks.Tasks())
  texts = samples.training_texts(found, wording, grammar)
  return tokenizer.train(texts, 400, grammar)
