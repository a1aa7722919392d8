"""Trains the mask model of a run on the true masks of its records.

  {workdir}/masks/    what `--masks` takes, and held_out.json: its J

A folder that is there is complete, and is not made again. It takes less than a
minute, so a run that is stopped meanwhile trains it anew. Where a run has several
hosts the first one trains.
"""

import dataclasses
import json

import jax
import numpy as np

from crab_jax import array_types
from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import encodings
from crab_jax.evaluation.masking import drawer
from crab_jax.evaluation.masking import examples
from crab_jax.evaluation.masking import prompts
from crab_jax.evaluation.scoring import masks
from crab_jax.experiment import setup
from crab_jax.training import hosts
from crab_jax.training import mask_folder
from crab_jax.training import mask_step
from crab_jax.training import optim

FOLDER = "masks"
HELD_OUT = "held_out.json"
_MEASURED = 64  # held-out pictures
_TOLD = 200  # steps between two lines
# Pixels of a frame to one of the loss, a side: at all pixels the loss costs more
# than the network.
_POOLED = 4


def folder_of(
  experiment: configs.Experiment, workspace: setup.Workspace
) -> files.Path | None:
  """The folder of the run's mask model, trained if need be; None: it has none.

  Raises:
    UserError: the folder was trained with other settings.
  """
  settings = experiment.masks
  if settings is None or not settings.steps:
    return None
  folder = workspace.workdir / FOLDER
  with hosts.first_then_others("mask model"):
    if not (folder / HELD_OUT).is_file():
      _train(settings, experiment.seed, workspace, folder)
    elif _about(folder)["settings"] != _noted(settings, experiment.seed):
      raise errors.UserError(
        f"{folder} was trained with other settings (MaskTraining, Sam2 or the"
        " seed): set them back, or remove the folder"
      )
  return folder if (folder / HELD_OUT).is_file() else None


def in_words(folder: files.Path) -> str:
  """How good the mask model of a run is, for the report."""
  about = _about(folder)
  if not about["pictures"]:
    return "no held-out picture has a mask"
  return (
    f"J {about['j']:.3f} given the true box, the filled box itself"
    f" {about['box_j']:.3f}; {about['pictures']} held-out pictures"
  )


def _about(folder: files.Path) -> dict:
  return json.loads((folder / HELD_OUT).read_text())


def _noted(settings: configs.MaskTraining, seed: int) -> dict:
  """What decides the mask model, as JSON gives it back."""
  return json.loads(
    files.json_text({**dataclasses.asdict(settings), "seed": seed})
  )


def _train(
  settings: configs.MaskTraining,
  seed: int,
  workspace: setup.Workspace,
  folder: files.Path,
) -> None:
  """Trains, measures and writes; no folder where no record has a mask."""
  found = examples.read(workspace.records, "train", settings.pictures)
  if found.skipped:
    print(f"masks: {found.skipped} pictures do not decode and are left out")
  if not len(found):
    print("masks: no training record has a mask, places are scored as boxes")
    return
  print(f"stage masks: {settings.steps} steps, {len(found)} pictures")
  params = fit(settings, seed, found)
  held = examples.read(workspace.records, "test", _MEASURED)
  boxes = [_box_jaccard(mask) for mask in held.masks]
  about = {
    "j": true_box_jaccard(settings.model, params, held),
    "box_j": float(np.mean(boxes)) if boxes else 0.0,
    "pictures": len(held),
    "settings": _noted(settings, seed),
  }
  mask_folder.save(
    folder, settings.model, params, {HELD_OUT: files.json_text(about)}
  )
  print(f"mask model: {in_words(folder)}", flush=True)


def fit(
  settings: configs.MaskTraining, seed: int, found: examples.Examples
) -> array_types.Tree:
  """The parameters after training on examples."""
  size = settings.model.image_size
  step = mask_step.build(
    settings.model, optim.optimizer(settings.optimizer, settings.steps)
  )
  images = _images(found.pictures, size)
  truths = _shares(found.masks)
  params, state = step.init(seed)
  rng = np.random.default_rng(seed)
  losses = []
  for number in range(1, settings.steps + 1):
    chosen = rng.integers(len(found), size=settings.batch)
    said = [
      examples.jittered_prompt(rng, found.masks[i], settings.jitter)
      for i in chosen
    ]
    params, state, loss = step.update(
      params, state, images[chosen], prompts.arrays(said, size), truths[chosen]
    )
    losses.append(loss)
    if number % _TOLD == 0 or number == settings.steps:
      mean = np.mean([float(loss) for loss in losses])
      print(f"masks step {number}: loss {mean:.4f}", flush=True)
      losses = []
  return params


def _images(pictures: np.ndarray, image_size: int) -> np.ndarray:
  """float32[n, image_size, image_size, 3]: what the encoder sees."""
  made = jax.jit(drawer.normalised, static_argnums=1)
  # Once, and not each step. One at a time: all of them are gigabytes.
  return np.concatenate([made(one[None], image_size) for one in pictures])


def _shares(truth: np.ndarray) -> np.ndarray:
  """float32[n, 56, 56]: the share of each 4 x 4 pixels that is inside."""
  side = masks.SIZE // _POOLED
  shape = (-1, side, _POOLED, side, _POOLED)
  return truth.reshape(shape).mean((2, 4), dtype=np.float32)


def _box_jaccard(mask: np.ndarray) -> float:
  """J of the filled true box."""
  return masks.plain_jaccard(mask, masks.filled_box(masks.extent(mask)))


def true_box_jaccard(
  config: configs.Sam2, params: array_types.Tree, held: examples.Examples
) -> float:
  """The mean J of masks that are drawn in the true boxes; 0.0 of none."""
  pen = drawer.Drawer(config, params, batch=16)
  wanted = (
    drawer.Task(str(i), encodings.encode_image(picture, "png", 0), prompt)
    for i, picture in enumerate(held.pictures)
    for prompt in [examples.true_prompt(held.masks[i])]
  )
  found = [
    masks.plain_jaccard(held.masks[int(drawn.id)], drawn.logits > 0)
    for drawn in pen.draw(wanted)
    if drawn.logits is not None
  ]
  return float(np.mean(found)) if found else 0.0
