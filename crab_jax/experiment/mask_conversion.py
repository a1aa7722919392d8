"""Mask models of others in and out: checkpoints of SAM 2.1."""

import jax

from crab_jax import files
from crab_jax.training import mask_folder
from crab_jax.training import model_folder
from crab_jax.weights import base_export
from crab_jax.weights import sam2
from crab_jax.weights import sam2_export


def convert(source: str, out: files.Path) -> None:
  """A checkpoint of SAM 2.1 -> the folder of a mask model.

  Args:
    source: a folder of transformers, a released .pt file, or a hub id.
    out: the folder to write.

  Raises:
    UserError: the checkpoint is none, damaged, or of no known size.
  """
  # Before the checkpoint is read, which may be downloaded.
  model_folder.check_replaceable(out, mask_folder.CONFIG_FILE)
  plan = sam2.plan(source)
  mask_folder.write(out, plan.config, plan.leaves)
  size = sum(leaf.size for leaf in plan.leaves.values())
  print(f"{size:,} parameters (float32) in {out}")
  for note in plan.notes:
    print(f"note: {note}")


def export(source: files.Path, out: files.Path) -> None:
  """The folder of a mask model -> one that transformers loads.

  Args:
    source: a folder of `convert`, or the one that a run trained.
    out: the folder to write; not there, or empty.

  Raises:
    UserError: the folder is none, or damaged.
  """
  base_export.check_free(out)
  config, params = mask_folder.load(source)
  sam2_export.write(out, config, params)
  size = sum(leaf.size for leaf in jax.tree.leaves(params))
  print(f"{size:,} parameters (float32) in {out}")
