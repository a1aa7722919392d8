"""What answers point at, drawn by a mask model for a client."""

import threading

from crab_jax.evaluation.masking import clip_masks
from crab_jax.evaluation.scoring import masks
from crab_jax.serving import replies


class Regions:
  """Draws masks, one answer at a time.

  Args:
    pen: the mask model.
  """

  def __init__(self, pen: clip_masks.ClipMasks):
    self._pen = pen
    self._lock = threading.Lock()

  def __call__(self, answer: replies.Answer) -> dict | None:
    """The run-length code of an answer; None: it names no place."""
    picture = answer.prompt.picture
    if picture is None:
      return None
    said = [(answer.task, answer.text)]
    with self._lock:
      found = self._pen.of_pictures(lambda _: picture, said)
    region = found.get(answer.task.name)
    return None if region is None else masks.to_rle(region)
