"""Pictures and masks: upright, on white, with 8 bits a channel."""

import contextlib
import os

import numpy as np
from jaxtyping import Bool
from jaxtyping import UInt8
from PIL import ExifTags
from PIL import Image
from PIL import ImageOps

from crab_jax import configs
from crab_jax.data import statuses
from crab_jax.data.media import frames
from crab_jax.data.media import streams

_WHITE = (255, 255, 255)
_MOST_PIXELS = 1 << 26  # a header may promise any size; 8192 x 8192
_SIXTEEN_BITS = 65_535
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations of EXIF that turn by 90 degrees


def read_image(
  path: str | os.PathLike, size: int
) -> UInt8[np.ndarray, "H W 3"]:
  """An image as uint8[size, size, 3]: upright, transparent parts white.

  Raises:
    RecordError: missing_file, bad_image.
  """
  with streams.failures(statuses.Status.BAD_IMAGE, path):
    return frames.resize(_on_white(_opened(path)), size)


def read_mask(path: str | os.PathLike) -> Bool[np.ndarray, "H W"]:
  """Where a label image is not black: bool[224, 224], resized by nearest.

  Raises:
    RecordError: missing_file, bad_image.
  """
  with streams.failures(statuses.Status.BAD_IMAGE, path):
    image = _opened(path)
    if _is_deep(image):  # a conversion to 8 bits may lose small labels
      image = Image.fromarray(np.asarray(image) != 0)
    return _on_grid(image)


def size_of(path: str | os.PathLike) -> tuple[int, int]:
  """Width and height of a picture as it stands upright; nothing is decoded.

  Raises:
    RecordError: missing_file, bad_image.
  """
  with (
    streams.failures(statuses.Status.BAD_IMAGE, path),
    Image.open(path) as image,
  ):
    width, height = image.size
    with contextlib.suppress(Exception):  # damaged EXIF data, as above
      if image.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE:
        return height, width
    return width, height


def mask_on_grid(
  mask: Bool[np.ndarray, "H W"],
) -> Bool[np.ndarray, "224 224"]:
  """A mask as `read_mask` gives the picture of it: bool[224, 224]."""
  return _on_grid(Image.fromarray(mask))


def _on_grid(image: Image.Image) -> Bool[np.ndarray, "224 224"]:
  size = (configs.COORDINATE_SIZE, configs.COORDINATE_SIZE)
  # 0 is nearest: any other filter would make labels of its own at edges.
  return np.asarray(image.convert("L").resize(size, 0)) > 0


def _opened(path: str | os.PathLike) -> Image.Image:
  """A decoded picture, turned and mirrored as its EXIF data say."""
  with Image.open(path) as image:
    if image.width * image.height > _MOST_PIXELS:
      raise ValueError(f"{image.width} x {image.height} pixels are too many")
    image.load()  # some formats store the orientation behind the pixels
    # Viewers show a picture whose EXIF data are damaged as it is coded.
    with contextlib.suppress(Exception):
      ImageOps.exif_transpose(image, in_place=True)
    return image


def _is_deep(image: Image.Image) -> bool:
  """Whether its one channel has more than 8 bits."""
  return image.mode == "F" or image.mode.startswith("I")


def _on_white(image: Image.Image) -> Image.Image:
  """A picture of any mode in RGB."""
  if _is_deep(image):
    return _eight_bits(image)
  if not image.has_transparency_data:
    return image if image.mode == "RGB" else image.convert("RGB")
  image = image.convert("RGBA")
  canvas = Image.new("RGB", image.size, _WHITE)
  canvas.paste(image, mask=image.getchannel("A"))
  return canvas


def _eight_bits(image: Image.Image) -> Image.Image:
  """A picture of one deep channel in RGB.

  Integers have 16 bits, of which 65,535 is white; floats reach from 0 to 1,
  and brighter ones are scaled by their maximum.
  """
  values = np.asarray(image)
  if not np.isfinite(values).all():
    raise ValueError("its pixels are not finite")
  most = 1.0 if image.mode == "F" else float(_SIXTEEN_BITS)
  levels = values / np.float32(max(most, float(values.max())))
  grey = np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)
  if "transparency" in image.info:
    grey = np.where(values == image.info["transparency"], 255, grey)
  return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
