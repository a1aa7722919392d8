"""Writes a folder of the thinker of 195 M parameters, to load a server with.

  python -m tests.serving.load_model FOLDER
  python -m crab_jax.serve --checkpoint=FOLDER --slots=16 --benchmark

The sizes of `generate_speed`, without an adapter. The weights are random, so the
answers are noise; those that a small tokenizer cannot read are never said.
"""

import argparse
import dataclasses

from crab_jax import files
from crab_jax.data import tasks
from crab_jax.training import model_folder
from tests.data import small_records
from tests.models import random_parameters
from tests.parity import generate_speed


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("folder")
  folder = files.path(parser.parse_args().folder)
  model = dataclasses.replace(generate_speed.MODEL, adapter=None)
  params = random_parameters.draw(model)
  asking = [small_records.record(name, 3) for name in tasks.Tasks()]
  tokenizer = small_records.small_tokenizer(asking)
  # Of logits near 0 none wins against the largest of hundreds.
  params["lm_head"]["kernel"][:, tokenizer.size :] = 0
  folder.parent.mkdir(parents=True, exist_ok=True)
  text = folder.with_name(f"{folder.name}.tokenizer.json")
  tokenizer.save(text)
  model_folder.save(folder, params, model, {"tokenizer.json": text})
  text.unlink()
  print(f"written: {folder}")


if __name__ == "__main__":
  main()
