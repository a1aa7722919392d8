"""Mask sets: stand-ins, masks, null frames, empty truths, lookups."""

import io
import json
import types

import numpy as np
import pytest
from PIL import Image

from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()

DISC = (np.add.outer(*[(np.arange(224) - 50) ** 2] * 2)) <= 30**2
RLE = masks.to_rle(DISC)
TEXT = "It is the dog: [20,20,80,80] [50,50]."


def _row(task="s4", text=TEXT, i=0, **fields):
  reference = {"text": "x", "a_obj": "dog", "mask": RLE}
  reference |= fields.pop("reference", {})
  row = {"id": f"{task}/test/{i}", "text": text, "reference": reference}
  return {**row, **fields}


def test_the_filled_box_stands_in():
  score = scores.score_rows(_TABLE["s4"], [_row()])
  assert (score.metric, score.value) == ("box IoU", 1)
  ceiling = DISC.sum() / 61**2
  details = score.details
  assert details["J"] == details["ceiling_of_boxes"] == pytest.approx(ceiling)
  assert details["mask_source"] == "the filled box stands in for a mask"
  assert details["category_named"] == 1
  official = score.official_compatible
  assert official["J"] == pytest.approx(ceiling)
  precision = ceiling
  f = 1.3 * precision / (0.3 * precision + 1)
  assert details["F"] == pytest.approx(f) == official["F"]


def test_masks_of_a_mask_model_are_scored_by_j():
  rows = [_row(mask=RLE), _row(mask=masks.to_rle(~DISC), i=1)]
  score = scores.score_rows(_TABLE["s4"], rows)
  assert (score.metric, score.value) == ("J", 0.5)
  assert score.details["F"] == pytest.approx(0.5)
  assert score.details["mask_source"].startswith("masks of 2 rows")


def test_true_masks_come_from_the_record_otherwise():
  buffer = io.BytesIO()
  Image.fromarray((DISC * 255).astype(np.uint8)).save(buffer, "PNG")
  record = types.SimpleNamespace(mask=buffer.getvalue(), meta={})
  row = _row(reference={"mask": None})
  assert scores.score_rows(_TABLE["s4"], [row], lambda _: record).value == 1
  with pytest.raises(errors.UserError, match="no row has a true mask"):
    scores.score_rows(_TABLE["s4"], [row])
  both = scores.score_rows(_TABLE["s4"], [row, _row(i=1)])
  assert both.details["rows_without_true_mask"] == both.unscored == 1
  assert both.remarks == [
    "s4: 1 rows are in no mean, as they have no true mask"
  ]
  assert both.value == 1  # what has no truth is in no mean


def test_an_empty_truth_wants_no_box():
  empty = {"mask": masks.to_rle(np.zeros_like(DISC))}
  rows = [
    _row("ms3", "Nothing sounds.", 0, reference=empty),
    _row("ms3", TEXT, 1, reference=empty),
  ]
  score = scores.score_rows(_TABLE["ms3"], rows)
  assert [row["score"]["box_iou"] for row in score.rows] == [1, 0]
  kept = 1 - 61**2 / 224**2
  assert score.details["J"] == pytest.approx((1 + kept) / 2)
  assert score.details["F"] == 0  # no frame with an object


def test_ref_avs_splits_and_null():
  true, false = f"<answer>true</answer>. {TEXT}", "<answer>false</answer>."
  rows = [
    _row("ref_avs", true, 0, reference={"split": "test_s"}),
    _row("ref_avs", false, 1, reference={"split": "test_u"}),
    _row("ref_avs", false, 2, reference={"split": "test_n", "mask": None}),
    _row("ref_avs", true, 3, reference={"split": "test_n", "mask": None}),
    _row("ref_avs", "hm", 4, reference={"split": "test_n", "mask": None}),
  ]
  score = scores.score_rows(_TABLE["ref_avs"], rows)
  assert score.value == 0.5  # seen and unseen together
  assert score.details["test_s"]["box_iou"] == 1
  unseen = score.details["test_u"]
  assert (unseen["box_iou"], unseen["J"], unseen["n"]) == (0, 0, 1)
  share = DISC.mean()  # F of the first threshold, which takes every pixel
  assert unseen["F"] == pytest.approx(1.3 * share / (0.3 * share + 1))
  # Pixels: none, the box, and all of them for what cannot be read.
  said = (61**2 + 224**2) / (3 * 224**2)
  assert score.details["test_n"]["S"] == pytest.approx(np.sqrt(said))
  assert score.details["existence_accuracy"] == pytest.approx(2 / 5)
  official = score.official_compatible
  assert (official["n"], official["dropped"]) == (4, 1)
  wrong = np.sqrt(61**2 / (224**2 - 61**2))
  assert official["S"] == pytest.approx(wrong / 2)


@pytest.mark.parametrize(
  ("task", "text"),
  [
    ("ms3", "[20,30] [30,40] [50,60]"),
    ("ref_avs", "<answer>true</answer>[20,30]"),
  ],
)
def test_points_alone_suffice_for_a_drawn_mask(task, text):
  drawn = _row(task, text, mask=RLE, reference={"split": "test_s"})
  official = scores.score_rows(_TABLE[task], [drawn]).official_compatible
  assert (official["J"], official["n"], official["dropped"]) == (1, 1, 0)
  drawn.pop("mask")  # without a mask model points draw nothing
  official = scores.score_rows(_TABLE[task], [drawn]).official_compatible
  assert (official["n"], official["dropped"]) == (0, 1)


def test_what_is_not_there_is_an_empty_mask_officially():
  row = _row(
    "ref_avs", "<answer>false</answer>", mask=RLE, reference={"split": "test_n"}
  )
  official = scores.score_rows(_TABLE["ref_avs"], [row]).official_compatible
  assert (official["S"], official["n"]) == (0, 1)


def test_f_pooled_and_as_the_released_scripts_average_it():
  """Videos of two frames: a batch of four of them, and one of one."""
  full = masks.to_rle(np.ones_like(DISC))
  rows = [
    _row(
      i=i,
      text=TEXT if i < 8 else "[0,0,9,9] [5,5]",
      reference={"vid": f"clip {i // 2}", "mask": RLE if i < 8 else full},
    )
    for i in range(10)
  ]
  details = scores.score_rows(_TABLE["s4"], rows).details

  def f(part):
    """The largest mean over frames, of the mask said and of all pixels."""
    curves = []
    for i in part:
      said = masks.filled_box((20, 20, 80, 80) if i < 8 else (0, 0, 9, 9))
      truth = DISC if i < 8 else np.ones_like(DISC)
      curves.append(masks.f_curve(truth, said))
    return np.mean(curves, axis=0).max()

  assert details["F"] == pytest.approx(f(range(10)), abs=1e-9)
  batched = details["F, mean of batches of 4 videos"]
  assert batched == pytest.approx((f(range(8)) + f((8, 9))) / 2, abs=1e-9)
  assert batched != pytest.approx(details["F"], abs=1e-3)
  assert details["J&F"] == (details["J"] + details["F"]) / 2


def test_s_pooled_and_as_the_released_scripts_average_it():
  """A video is asked about by several descriptions: each is one."""
  true, false = f"<answer>true</answer>. {TEXT}", "<answer>false</answer>."
  null = {"split": "test_n", "mask": None, "vid": "one", "fid": "2"}
  rows = [
    _row("ref_avs", true if i == 4 else false, i, reference={**null, "uid": i})
    for i in range(5)
  ]
  found = scores.score_rows(_TABLE["ref_avs"], rows).details["test_n"]
  share = 61**2 / 224**2
  assert found["S"] == pytest.approx(np.sqrt(share / 5), abs=1e-9)
  # A batch of four without a pixel, and the fifth by itself.
  batched = found["S, mean of batches of 4 videos"]
  assert batched == pytest.approx(np.sqrt(share) / 2, abs=1e-9)


def test_the_video_of_a_frame_comes_from_the_record_too():
  """Without it each frame is a video, and the report says so."""
  full = masks.to_rle(np.ones_like(DISC))
  rows = [
    _row(i=i, reference={"mask": full if i == 4 else RLE}) for i in range(5)
  ]
  record = types.SimpleNamespace(mask=None, meta={"vid": "clip"})
  name = "F, mean of batches of 4 videos"
  known = scores.score_rows(_TABLE["s4"], rows, lambda _: record).details
  assert known[name] == known["F"]
  assert "frames_without_vid" not in known
  unknown = scores.score_rows(_TABLE["s4"], rows).details
  assert unknown[name] != pytest.approx(unknown["F"], abs=1e-3)
  assert unknown["frames_without_vid"] == "5, each a video of its own"


def test_a_null_frame_that_is_filled_leaves_s_finite():
  whole = masks.to_rle(np.ones_like(DISC))
  true = f"<answer>true</answer>. {TEXT}"
  null = {"split": "test_n", "mask": None}
  filled = [_row("ref_avs", true, 0, reference=null, mask=whole)]
  some = [*filled, _row("ref_avs", true, 1, reference=null)]
  official = scores.score_rows(_TABLE["ref_avs"], some).official_compatible
  wrong = np.sqrt(61**2 / (224**2 - 61**2))
  assert official["S"] == pytest.approx(wrong, abs=1e-9)
  assert (official["S_infinite"], official["n"]) == (1, 2)
  # Not 0, as the released script has it then: 0 would be perfect.
  score = scores.score_rows(_TABLE["ref_avs"], filled)
  assert score.official_compatible["S"] is None
  assert score.official_compatible["J"] is score.details["J"] is None
  assert score.details["test_n"]["S"] == 1
  json.dumps(score.to_json(), allow_nan=False)
