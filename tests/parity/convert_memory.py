"""Measures the conversion of a random checkpoint of the 3B's or 7B's shape.

  python -m tests.parity.convert_memory [--size 3b] [--folder DIR]

Writes the checkpoint (bfloat16, shards of 2 GiB), converts it and exports it
again by the door, each in a process of its own. Prints the time, the largest
tensor and the peak of the processes' resident memory, before which their start
(imports alone) is told.
Needs three times the checkpoint's size on the disk; all are removed.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import safetensors.torch
import torch
import transformers

from crab_jax import configs
from tests.parity import torch_thinker

SIZES = {
  "tiny": configs.tiny,  # to try the script
  "3b": configs.qwen2_5_omni_3b,
  "7b": configs.qwen2_5_omni_7b,
}
SHARD = 2 << 30  # bytes
GIB = float(1 << 30)
# Runs a door and prints the peak of its resident memory in KiB: VmHWM, as
# ru_maxrss begins with that of the process which started it.
_RUN = """
import re, runpy, sys
try:
  if len(sys.argv) > 2:
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
  else:
    __import__(sys.argv[1])
finally:
  text = open("/proc/self/status").read()
  print(re.search(r"VmHWM:\\s+(\\d+) kB", text)[1])
"""


def write(folder: pathlib.Path, model: configs.Model) -> int:
  """A random checkpoint; returns the bytes of its largest tensor."""
  config = torch_thinker.config_of(model)
  with torch.device("meta"):
    thinker = transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
  (folder / "config.json").write_text(json.dumps(config.to_dict()))
  places, shard, size, largest = {}, {}, 0, 0
  left = list(thinker.state_dict().items())
  while left:
    name, tensor = left.pop(0)
    shard[name] = torch.randn(tensor.shape, dtype=torch.bfloat16)
    largest = max(largest, shard[name].nbytes)
    size += shard[name].nbytes
    if size >= SHARD or not left:
      file = f"model-{len(set(places.values())):05}.safetensors"
      safetensors.torch.save_file(shard, folder / file)
      places.update(dict.fromkeys(shard, file))
      shard, size = {}, 0
  index = {"metadata": {}, "weight_map": places}
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  return largest


def peak(*arguments: str) -> float:
  """GiB of resident memory that the door, or only its import, came to."""
  done = subprocess.run(
    [sys.executable, "-c", _RUN, "crab_jax.convert", *arguments],
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  *said, kib = done.stdout.splitlines()
  print("\n".join(said), flush=True)
  return int(kib) * 1024 / GIB


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--size", choices=SIZES, default="3b")
  parser.add_argument("--folder", default=None)
  flags = parser.parse_args()
  with tempfile.TemporaryDirectory(dir=flags.folder) as place:
    source, out = pathlib.Path(place) / "hf", pathlib.Path(place) / "out"
    source.mkdir()
    largest = write(source, SIZES[flags.size]()) / GIB
    total = sum(p.stat().st_size for p in source.iterdir()) / GIB
    idle = peak()
    start = time.perf_counter()
    most = peak("base", f"--source={source}", f"--out={out}")
    seconds = time.perf_counter() - start
    back = pathlib.Path(place) / "back"
    exported = peak("base-export", f"--source={out}", f"--out={back}")
  print(
    f"{flags.size}: {total:.1f} GiB in {seconds:.0f} s; peak {most:.2f} GiB"
    f" ({idle:.2f} of it before it begins), largest tensor {largest:.2f} GiB:"
    f" {most - largest:.2f} GiB above it; base-export: peak {exported:.2f} GiB"
  )


if __name__ == "__main__":
  main()
