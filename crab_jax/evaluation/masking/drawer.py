"""Masks of pictures and prompts, many at a time.

Two compiled programs of one batch size each: a picture is encoded once and its
prompts are decoded in turn, so that expressions about one frame share the part
that costs. A batch is spread over the devices of this process, its last one
filled up with empty pictures.

Pictures are those that the released scripts give to SAM: 224 x 224, enlarged
again to what the encoder sees.
"""

import dataclasses
import functools
import io
from collections.abc import Iterable
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from crab_jax import array_types
from crab_jax import configs
from crab_jax.evaluation.masking import prompts
from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import official_scripts
from crab_jax.models.sam2 import network

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Task:
  """A mask to draw.

  Attributes:
    id: of the row.
    picture: encoded; of equal pictures one is encoded by the model.
    prompt: not an absent one.
  """

  id: str
  picture: bytes
  prompt: official_scripts.Prompt


@dataclasses.dataclass(frozen=True)
class Drawn:
  """A mask, or why there is none.

  Attributes:
    id: of the row.
    logits: float32[224, 224], above 0 inside; None with an error.
    error: why the picture could not be read.
  """

  id: str
  logits: np.ndarray | None
  error: str | None = None


def normalised(
  pictures: array_types.UInt8[array_types.Array, "B rows columns 3"],
  image_size: int,
) -> jax.Array:
  """float32[B, image_size, image_size, 3]: what the encoder sees."""
  x = jnp.asarray(pictures, jnp.float32) / 255
  shape = (x.shape[0], image_size, image_size, 3)
  # Antialiased as torchvision's Resize is, which changes nothing on enlarging.
  x = jax.image.resize(x, shape, "linear", antialias=True)
  mean, deviation = (
    jnp.array(values, jnp.float32).reshape(1, 1, 1, 3)
    for values in (_MEAN, _DEVIATION)
  )
  return (x - mean) / deviation


def whole_frame(logits: jax.Array) -> jax.Array:
  """float32[B, 224, 224]: logits of masks at the size of the frame."""
  shape = (logits.shape[0], masks.SIZE, masks.SIZE)
  # The predictor does not antialias; jax would: up to 1.3 logits of difference.
  return jax.image.resize(logits, shape, "linear", antialias=False)


def read(picture: bytes) -> np.ndarray:
  """uint8[224, 224, 3] of an encoded picture.

  Raises:
    OSError, ValueError: it does not decode.
  """
  image = Image.open(io.BytesIO(picture)).convert("RGB")
  if image.size != (masks.SIZE, masks.SIZE):
    image = image.resize((masks.SIZE, masks.SIZE), Image.Resampling.LANCZOS)
  return np.asarray(image)


def encode(
  config: configs.Sam2, params: array_types.Tree, pictures: array_types.Array
) -> network.Encoded:
  """What is kept of uint8[B, 224, 224, 3]."""
  images = normalised(pictures, config.image_size)
  return network.encode(config, params, images)


def decode(
  config: configs.Sam2,
  params: array_types.Tree,
  encoded: network.Encoded,
  prompt: network.Prompt,
) -> jax.Array:
  """float32[B, 224, 224]: the logits of the chosen masks."""
  found = network.decode(config, params, encoded, prompt)
  return whole_frame(network.select(found)[0])


class Drawer:
  """Draws the masks of a mask model."""

  def __init__(
    self, config: configs.Sam2, params: array_types.Tree, batch: int
  ):
    """Puts the parameters on every device of this process; compiles nothing.

    Args:
      config: the shapes of the model.
      params: its parameters.
      batch: pictures at a time; rounded up to a multiple of the devices.
    """
    devices = jax.local_devices()
    mesh = jax.sharding.Mesh(np.array(devices), ("rows",))
    named = jax.sharding.NamedSharding
    self._rows = named(mesh, jax.sharding.PartitionSpec("rows"))
    whole = named(mesh, jax.sharding.PartitionSpec())
    self._params = jax.device_put(params, whole)
    self._batch = -(-batch // len(devices)) * len(devices)
    self._size = config.image_size
    self._encode = jax.jit(functools.partial(encode, config))
    self._decode = jax.jit(functools.partial(decode, config))

  def draw(self, wanted: Iterable[Task]) -> Iterator[Drawn]:
    """The masks, those of one picture together; none is left out.

    Args:
      wanted: equal pictures behind each other are encoded once.
    """
    group: dict[bytes, list[Task]] = {}
    for task in wanted:
      if task.picture not in group and len(group) == self._batch:
        yield from self._group(group)
        group = {}
      group.setdefault(task.picture, []).append(task)
    if group:
      yield from self._group(group)

  def _group(self, group: dict[bytes, list[Task]]) -> Iterator[Drawn]:
    """Masks of at most one batch of pictures."""
    pictures = np.zeros((self._batch, masks.SIZE, masks.SIZE, 3), np.uint8)
    rows: list[list[Task]] = []
    for picture, wanted in group.items():
      try:
        pictures[len(rows)] = read(picture)
      except (OSError, ValueError, Image.DecompressionBombError) as error:
        # Not its text, which may hold the address of an object.
        reason = f"the picture does not decode ({type(error).__name__})"
        yield from (Drawn(task.id, None, reason) for task in wanted)
      else:
        rows.append(wanted)
    if not rows:
      return
    encoded = self._encode(self._params, jax.device_put(pictures, self._rows))
    for turn in range(max(len(wanted) for wanted in rows)):
      yield from self._turn(encoded, rows, turn)

  def _turn(
    self, encoded: network.Encoded, rows: list[list[Task]], turn: int
  ) -> Iterator[Drawn]:
    """The mask of one prompt of each picture that has so many."""
    asked = [w[turn] if turn < len(w) else None for w in rows]
    said = [task.prompt if task else None for task in asked]
    said += [None] * (self._batch - len(said))
    prompt = jax.device_put(prompts.arrays(said, self._size), self._rows)
    logits = np.asarray(self._decode(self._params, encoded, prompt))
    for row, task in enumerate(asked):
      if task is not None:
        yield Drawn(task.id, logits[row])
