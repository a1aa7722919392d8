"""The masks of answers about one clip."""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from crab_jax import configs
from crab_jax import files
from crab_jax.data import clip as clip_lib
from crab_jax.data import tasks
from crab_jax.evaluation.masking import drawer
from crab_jax.evaluation.masking import prompts
from crab_jax.evaluation.scoring import masks
from crab_jax.training import mask_folder

_EMPTY = np.zeros((masks.SIZE, masks.SIZE), bool)


class ClipMasks:
  """A mask model for the answers about a clip."""

  def __init__(self, folder: files.Path):
    """Reads a mask model.

    Raises:
      UserError: the folder is none, damaged, or of another size.
    """
    config, params = mask_folder.load(folder)
    self._pen = drawer.Drawer(config, params, batch=1)

  def of_answers(
    self, clip: clip_lib.Clip, said: Sequence[tuple[tasks.Task, str]]
  ) -> dict[str, np.ndarray]:
    """Task -> bool[224, 224]; a task whose answer names no place has none.

    Args:
      clip: the media.
      said: tasks and the texts of their answers.
    """
    size = configs.COORDINATE_SIZE
    return self.of_pictures(lambda task: clip_lib.frame(clip, task, size), said)

  def of_pictures(
    self,
    picture_of: Callable[[tasks.Task], bytes],
    said: Sequence[tuple[tasks.Task, str]],
  ) -> dict[str, np.ndarray]:
    """As `of_answers`.

    Args:
      picture_of: gives a task's picture, encoded, 224 x 224.
      said: tasks and the texts of their answers.
    """
    found, wanted = {}, []
    for task, text in said:
      prompt = (
        prompts.of_answer(task, text) if prompts.is_masked(task) else None
      )
      if prompt is None:
        continue
      if prompt.absent:
        found[task.name] = _EMPTY
      else:
        wanted.append(drawer.Task(task.name, picture_of(task), prompt))
    for drawn in self._pen.draw(wanted):
      # The picture was encoded by `clip_lib.frame`, so it decodes.
      assert drawn.logits is not None
      found[drawn.id] = drawn.logits > 0
    return found
