"""The mask model of a run: trained on records, better than the box."""

import dataclasses
import json

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax import gin_utils
from crab_jax.data import encodings
from crab_jax.data import prepared_records
from crab_jax.evaluation.masking import drawer
from crab_jax.evaluation.masking import examples
from crab_jax.evaluation.scoring import masks
from crab_jax.experiment import mask_stage
from crab_jax.experiment import setup
from crab_jax.synthetic import drawing
from crab_jax.synthetic import scenes
from crab_jax.training import mask_folder
from tests.data import small_records
from tests.evaluation.masking import small_sam2

_SETTINGS = configs.MaskTraining(small_sam2.CONFIG, steps=3, batch=8)


class _Experiment:
  """What the stage reads of an experiment."""

  seed = 0

  def __init__(self, settings):
    self.masks = settings


def _record(rng, split, row):
  names = scenes.instruments(rng, 2)
  things = scenes.stills(scenes.arrange(rng, split, names))
  picture = drawing.picture(scenes.scene(rng, 5, things, ()), 112)
  mask = np.repeat(drawing.mask(things[:1], 224)[..., None], 3, axis=-1)
  return small_records.record(
    "s4",
    row,
    split,
    frames=[encodings.encode_image(picture, "png", 95)],
    mask=encodings.encode_image(mask, "png", 95),
  )


def _workspace(root, found) -> setup.Workspace:
  small_records.write(root / "records", found)
  prepared = prepared_records.read(files.path(root / "records"))
  return setup.Workspace(files.path(root), prepared, None)


def test_examples_are_the_records_with_masks(tmp_path):
  rng = np.random.default_rng(0)
  found = [_record(rng, "train", row) for row in range(6)]
  found.append(small_records.record("s4", 6, mask=found[0].mask, frames=[b"x"]))
  found.append(small_records.record("s4", 7))  # without a mask
  prepared = _workspace(tmp_path, found).records
  read = examples.read(prepared, "train", 100)
  assert (len(read), read.skipped) == (6, 1)
  assert read.masks.any((1, 2)).all()
  assert len(examples.read(prepared, "train", 3)) <= 3
  assert not len(examples.read(prepared, "test", 3))


@pytest.mark.parametrize("seed", range(20))
def test_prompts_are_near_the_mask(seed):
  rng = np.random.default_rng(seed)
  mask = masks.filled_box((200, 30, 223, 90))
  prompt = examples.jittered_prompt(rng, mask, 0.1)
  assert prompt.box or len(prompt.points) == 3
  assert all(mask[y, x] for x, y in prompt.points)
  if prompt.box:
    x1, y1, x2, y2 = prompt.box
    assert 0 <= x1 <= x2 < 224 and 0 <= y1 <= y2 < 224
    assert abs(x1 - 200) < 15 and abs(y2 - 90) < 35


def test_none_is_made_where_none_is_wanted():
  for settings in (None, configs.MaskTraining(small_sam2.CONFIG, steps=0)):
    assert mask_stage.folder_of(_Experiment(settings), None) is None


def test_records_without_masks_are_told(tmp_path, capsys):
  workspace = _workspace(tmp_path, [small_records.record("s4", 0)])
  assert mask_stage.folder_of(_Experiment(_SETTINGS), workspace) is None
  assert "no training record has a mask" in capsys.readouterr().out
  assert not (tmp_path / mask_stage.FOLDER).exists()


@pytest.mark.parametrize("optimizer", [{"name": "muon"}, {"weight_decay": 0.1}])
def test_an_optimizer_that_looks_at_single_parameters_is_refused(optimizer):
  with pytest.raises(ValueError, match="adamw"):
    configs.MaskTraining(optimizer=configs.Optimizer(**optimizer))


@pytest.fixture(scope="module")
def settings():
  """Those of the main job."""
  return gin_utils.experiment(["gin/base.gin"], []).masks


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
  rng = np.random.default_rng(1)
  found = [
    _record(rng, split, row)
    for split, count in (("train", 600), ("test", 64))
    for row in range(count)
  ]
  return _workspace(tmp_path_factory.mktemp("stage"), found)


@pytest.fixture(scope="module")
def folder(settings, workspace):
  """Trained as in the main job; about a minute of processor time."""
  return mask_stage.folder_of(_Experiment(settings), workspace)


@pytest.mark.slow
def test_masks_in_true_boxes_are_those_of_the_scene(folder):
  about = json.loads((folder / mask_stage.HELD_OUT).read_text())
  assert about["pictures"] == 64
  assert about["j"] > 0.85
  assert about["j"] > about["box_j"] + 0.1
  assert f"J {about['j']:.3f} given" in mask_stage.in_words(folder)


@pytest.mark.slow
def test_masks_in_the_boxes_of_answers_beat_these_boxes(folder, workspace):
  """Corners are off by up to six pixels."""
  held = examples.read(workspace.records, "test", 64)
  rng = np.random.default_rng(2)
  boxes = [masks.extent(mask) + rng.integers(-6, 7, 4) for mask in held.masks]
  boxes = [tuple(np.clip(box, 0, 223).tolist()) for box in boxes]
  pen = drawer.Drawer(*mask_folder.load(folder), batch=16)
  drawn = pen.draw(
    drawer.Task(
      str(i),
      encodings.encode_image(picture, "png", 0),
      dataclasses.replace(examples.true_prompt(held.masks[i]), box=boxes[i]),
    )
    for i, picture in enumerate(held.pictures)
  )
  ours = [
    masks.plain_jaccard(held.masks[int(d.id)], d.logits > 0) for d in drawn
  ]
  filled = [
    masks.plain_jaccard(mask, masks.filled_box(box))
    for mask, box in zip(held.masks, boxes, strict=True)
  ]
  assert len(ours) == 64
  assert np.mean(ours) > np.mean(filled) + 0.1


@pytest.mark.slow
def test_a_folder_is_made_once(folder, settings, workspace, capsys):
  again = mask_stage.folder_of(_Experiment(settings), workspace)
  assert again == folder
  assert "stage masks" not in capsys.readouterr().out
  other = _Experiment(dataclasses.replace(settings, steps=4))
  with pytest.raises(errors.UserError, match="masks was trained with other"):
    mask_stage.folder_of(other, workspace)
