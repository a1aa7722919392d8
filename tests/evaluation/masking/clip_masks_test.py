"""Masks of answers about one clip."""

import numpy as np
import pytest
from PIL import Image

from crab_jax import errors
from crab_jax import files
from crab_jax.data import clip
from crab_jax.data import tasks
from crab_jax.evaluation.masking import clip_masks
from crab_jax.training import mask_folder
from tests.evaluation.masking import small_sam2

_TABLE = tasks.Tasks()


def test_each_answer_that_names_a_place_has_a_mask(tmp_path):
  folder = files.path(tmp_path / "sam2")
  mask_folder.save(folder, small_sam2.CONFIG, small_sam2.params())
  rng = np.random.default_rng(0)
  picture = rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)
  Image.fromarray(picture).save(tmp_path / "frame.png")
  asked = [
    (_TABLE["s4"], "[20,20,80,80] [50,50]"),
    (_TABLE["ms3"], "nothing to see"),
    (_TABLE["ref_avs"], "<answer>false</answer>"),
    (_TABLE["arig"], "[20,20,80,80]"),  # a set of boxes
  ]
  found = clip_masks.ClipMasks(folder).of_answers(
    clip.Clip(image=files.path(tmp_path / "frame.png")), asked
  )
  assert found.keys() == {"s4", "ref_avs"}
  assert found["s4"].shape == (224, 224)
  assert 0 < found["s4"].sum() < found["s4"].size
  assert not found["ref_avs"].any()


def test_a_folder_that_is_none_is_told_at_once(tmp_path):
  with pytest.raises(errors.UserError, match="no folder of a mask model"):
    clip_masks.ClipMasks(files.path(tmp_path))
