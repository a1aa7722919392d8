import numpy as np
import pytest
import torch
from PIL import Image
from PIL import ImageOps

from crab_jax.data.media import pictures
from tests.data import clips
from tests.data.media import files as media_files


def test_the_resize_is_bicubic_with_antialias(tmp_path):
  path = tmp_path / "x.png"
  coarse = np.random.default_rng(0).integers(0, 256, (30, 41, 3))
  pixels = coarse.astype(np.uint8).repeat(9, axis=0).repeat(9, axis=1)
  clips.write_image(path, pixels)
  expected = torch.nn.functional.interpolate(
    torch.from_numpy(pixels).permute(2, 0, 1)[None],
    (224, 224),
    mode="bicubic",
    antialias=True,
  )[0].permute(1, 2, 0)
  found = pictures.read_image(path, 224)
  # Both work in fixed point; a few pixels round the other way.
  np.testing.assert_allclose(found, expected.numpy(), atol=1)


def test_transparent_images_are_pasted_on_white(tmp_path):
  path = tmp_path / "x.png"
  pixels = np.zeros((8, 8, 4), np.uint8)
  pixels[:4] = (200, 0, 0, 255)
  clips.write_image(path, pixels)
  found = pictures.read_image(path, 8)
  assert (found[:4] == (200, 0, 0)).all()
  assert (found[4:] == 255).all()


def test_grey_images_become_rgb(tmp_path):
  path = tmp_path / "x.png"
  clips.write_image(path, np.full((8, 8), 77, np.uint8))
  assert (pictures.read_image(path, 4) == np.full((4, 4, 3), 77)).all()


def test_a_truncated_image_is_bad(tmp_path):
  path = tmp_path / "x.jpg"
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
  clips.write_image(path, noise.astype(np.uint8))
  clips.cut_short(path)
  media_files.fails("bad_image", pictures.read_image, path, 32)
  media_files.fails("bad_image", pictures.read_mask, path)


def test_a_mask_is_what_is_not_black(tmp_path):
  path = tmp_path / "x.png"
  labels = np.zeros((448, 448, 3), np.uint8)
  labels[:112, :224] = (0, 0, 128)  # grey level 15
  clips.write_image(path, labels)
  mask = pictures.read_mask(path)
  assert mask.shape == (224, 224)
  assert mask[:56, :112].all()
  assert mask.sum() == 56 * 112


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_stand_upright(tmp_path, value, suffix):
  path = tmp_path / f"x.{suffix}"
  levels = np.kron([[20, 90, 160], [230, 60, 120]], np.ones((32, 32)))
  picture = Image.fromarray(levels.astype(np.uint8)).convert("RGB")
  exif = Image.Exif()
  exif[0x0112] = value
  picture.save(path, exif=exif, quality=100)
  upright = ImageOps.exif_transpose(Image.open(path)).resize((96, 96))
  np.testing.assert_allclose(
    pictures.read_image(path, 96)[8::32, 8::32],
    np.asarray(upright)[8::32, 8::32],
    atol=3,
  )
  with Image.open(path) as coded:
    size = coded.size[::-1] if value >= 5 else coded.size
  assert pictures.size_of(path) == size


def test_damaged_exif_data_leave_a_picture_as_it_is_coded(tmp_path):
  path = tmp_path / "x.jpg"
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.new("RGB", (32, 32), (200, 0, 0)).save(path, exif=exif)
  data = path.read_bytes()
  path.write_bytes(data.replace(b"MM\x00*\x00\x00", b"MM\x00*\xff\xff"))
  assert pictures.read_image(path, 8)[4, 4, 0] > 190


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_pictures_of_16_bits_are_scaled(tmp_path, suffix):
  path = tmp_path / f"x.{suffix}"
  values = np.kron(
    np.array([[0, 65_535], [32_896, 12_850]]), np.ones((8, 8))
  ).astype(np.uint16)
  Image.fromarray(values).save(path)
  found = pictures.read_image(path, 16)
  assert found[4, 4].tolist() == [0, 0, 0]
  assert found[4, 12].tolist() == [255, 255, 255]
  assert found[12, 4].tolist() == [128, 128, 128]
  assert found[12, 12].tolist() == [50, 50, 50]


def test_pictures_of_floats_are_scaled(tmp_path):
  path = tmp_path / "x.tif"
  values = np.kron([[0.0, 1.0], [0.5, -3.0]], np.ones((8, 8)))
  Image.fromarray(values.astype(np.float32)).save(path)
  found = pictures.read_image(path, 16)
  assert [found[4, 4, 0], found[4, 12, 0]] == [0, 255]
  assert [found[12, 4, 0], found[12, 12, 0]] == [128, 0]
  Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(path)
  media_files.fails("bad_image", pictures.read_image, path, 16)


def _half_transparent(mode):
  """A picture whose left half is transparent, the right one grey 100."""
  alpha = np.repeat([[0] * 8 + [255] * 8], 16, axis=0).astype(np.uint8)
  grey = np.where(alpha, 100, 0).astype(np.uint8)
  if mode in ("LA", "RGBA"):
    picture = Image.fromarray(grey).convert(mode)
    picture.putalpha(Image.fromarray(alpha))
    return picture, {}
  if mode == "I;16":
    return Image.fromarray(grey.astype(np.uint16) * 257), {"transparency": 0}
  if mode == "1":
    picture = Image.fromarray(alpha).convert("1")
    return picture, {"transparency": 0}
  picture = Image.fromarray(grey)
  if mode == "P":
    return picture.convert("RGB").quantize(2), {}
  key = (0, 0, 0) if mode == "RGB" else 0
  return picture.convert(mode), {"transparency": key}


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB", "I;16", "1"])
def test_every_kind_of_transparency_is_white(tmp_path, mode):
  path = tmp_path / "x.png"
  picture, options = _half_transparent(mode)
  if mode == "P":
    options = {"transparency": picture.getpixel((0, 0))}
  picture.save(path, **options)
  found = pictures.read_image(path, 16)
  assert (found[:, :6] == 255).all()
  assert (found[:, 10:] == (255 if mode == "1" else 100)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "RGB"])
def test_every_mode_becomes_rgb(tmp_path, mode):
  path = tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png")
  black_and_white = np.kron([[0, 255]], np.ones((16, 8))).astype(np.uint8)
  Image.fromarray(black_and_white).convert("RGB").convert(mode).save(path)
  found = pictures.read_image(path, 16)
  np.testing.assert_allclose(found[:, :4], 0, atol=4)
  np.testing.assert_allclose(found[:, 12:], 255, atol=4)


def test_a_mask_of_16_bits_keeps_its_small_labels(tmp_path):
  path = tmp_path / "x.png"
  labels = np.zeros((224, 224), np.uint16)
  labels[:100] = 1
  Image.fromarray(labels).save(path)
  assert pictures.read_mask(path).sum() == 100 * 224


def test_a_picture_size_of_a_header_is_not_allocated(tmp_path):
  path = tmp_path / "x.bmp"
  Image.new("RGB", (8, 8)).save(path)
  data = bytearray(path.read_bytes())
  data[18:26] = (12_000).to_bytes(4, "little") * 2
  path.write_bytes(data)
  reason = media_files.fails("bad_image", pictures.read_image, path, 16)
  assert "too many" in reason
