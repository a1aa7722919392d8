"""ARIG: what stands beside the success rate."""

import pytest

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


def _row(i, text, box):
  reference = {"text": "x", "top_left": box[:2], "bottom_right": box[2:]}
  return {"id": f"arig/test/{i}", "text": text, "reference": reference}


def test_iou_auc_and_the_dropped():
  box = [0, 0, 9, 9]
  rows = [
    _row(0, "<obj>(0,0)(9,9)</obj>", box),
    _row(1, "[5,0,14,9]", box),  # IoU 1/3
    _row(2, "no idea", box),
  ]
  score = scores.score_rows(_TABLE["arig"], rows)
  assert score.value == pytest.approx(1 / 3)
  assert score.details["IoU"] == pytest.approx(4 / 9)
  assert score.official_compatible["value"] == pytest.approx(1 / 2)
  assert score.official_compatible["IoU"] == pytest.approx(2 / 3)
  assert score.official_compatible["dropped"] == 1
  assert score.chance == 1
  assert score.guess == "always the box [0, 0, 9, 9]"


def test_a_reference_without_a_box_is_an_error():
  row = {"id": "arig/val/0", "text": "x", "reference": {"text": "a dog"}}
  with pytest.raises(errors.UserError, match="arig/val/0 has no box"):
    scores.score_rows(_TABLE["arig"], [row])
