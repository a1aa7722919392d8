"""What an answer asks a mask model for.

An answer that the official scripts of Crab+ read gives the prompt that they
give; one that only our reading understands gives the box and the points that it
finds. The official column drops the latter, the strict one scores both.
"""

from collections.abc import Sequence

import numpy as np

from crab_jax import configs
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.scoring import official_scripts
from crab_jax.models.sam2 import network
from crab_jax.models.sam2 import prompt_encoder

_LABEL = prompt_encoder.Label
# Two corners, three points, and the padding point that the released predictor
# adds to every prompt.
SLOTS = 6


def is_masked(task: tasks.Task) -> bool:
  """Whether answers of a task become masks."""
  return task.mask is not None and task.kind in ("place", "existence")


def of_answer(
  task: tasks.Task, text: str | None
) -> official_scripts.Prompt | None:
  """The prompt of an answer; None: it names no place.

  Args:
    task: one that is masked.
    text: what the model said; None: nothing.
  """
  text = answers.cut(text or "")
  official = official_scripts.prompt_of(text, task.kind == "existence")
  if official is not None:
    return official
  answer = answers.parse(task, text)
  if answer.exists is False:
    return official_scripts.Prompt(absent=True)
  if not answer.box and not answer.points:
    return None
  return official_scripts.Prompt(answer.box, answer.points)


def arrays(
  prompts: Sequence[official_scripts.Prompt | None], image_size: int
) -> network.Prompt:
  """Prompts as one batch of static shapes.

  Args:
    prompts: none of them absent; None: a row that nobody reads.
    image_size: pixels of a side of what the encoder sees.
  """
  points = np.zeros((len(prompts), SLOTS, 2), np.float32)
  labels = np.full((len(prompts), SLOTS), _LABEL.PADDING, np.int32)
  valid = np.zeros((len(prompts), SLOTS), bool)
  # The padding point is last, and every row has one.
  valid[:, -1] = True
  for row, prompt in enumerate(prompts):
    for slot, (label, point) in enumerate(_tokens(prompt)):
      # A frame is squashed to a square at every size, so this holds for any.
      points[row, slot] = point
      labels[row, slot], valid[row, slot] = label, True
  scale = np.float32(image_size / configs.COORDINATE_SIZE)
  return network.Prompt(points * scale, labels, valid)


def _tokens(prompt: official_scripts.Prompt | None):
  """(label, (x, y)) of corners and points, in the 224 frame."""
  if prompt is None:
    return
  if prompt.box is not None:
    yield _LABEL.TOP_LEFT, prompt.box[:2]
    yield _LABEL.BOTTOM_RIGHT, prompt.box[2:]
  for point in prompt.points:
    yield _LABEL.INSIDE, point
