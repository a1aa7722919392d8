"""Pictures in and masks out: against torch, in batches, shared, damaged."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from crab_jax.evaluation.masking import drawer
from crab_jax.evaluation.scoring import official_scripts
from tests.evaluation.masking import small_sam2

_BOX = official_scripts.Prompt((20, 30, 120, 140), ((60, 70),))
_POINT = official_scripts.Prompt(None, ((200, 10),))


def _png(seed: int, size=(224, 224)) -> bytes:
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG")
  return buffer.getvalue()


@pytest.fixture(scope="module")
def pen():
  return drawer.Drawer(small_sam2.CONFIG, small_sam2.params(), batch=1)


@pytest.mark.parametrize("size", [128, 224, 1024])
def test_pictures_are_those_of_torchvision(size):
  """Of a tensor: half-pixel centres, antialiased, no rounding between."""
  pixels = np.random.default_rng(0).integers(0, 255, (1, 224, 224, 3))
  tensor = torch.tensor(pixels).permute(0, 3, 1, 2).float() / 255
  wanted = torch.nn.functional.interpolate(
    tensor, size=(size, size), mode="bilinear", antialias=True
  )
  mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
  deviation = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
  wanted = ((wanted - mean) / deviation).permute(0, 2, 3, 1).numpy()
  found = drawer.normalised(pixels.astype(np.uint8), size)
  np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("size", [16, 256])
def test_masks_are_resized_without_antialiasing(size):
  logits = np.random.default_rng(0).standard_normal((1, size, size)) * 10
  logits = logits.astype(np.float32)
  wanted = torch.nn.functional.interpolate(
    torch.tensor(logits)[None], size=(224, 224), mode="bilinear"
  )
  # White noise of +-40: with antialiasing the difference is more than 1.
  found = drawer.whole_frame(logits)
  np.testing.assert_allclose(found, wanted[0].numpy(), atol=1e-5)


def test_a_picture_of_another_size_is_squashed_as_the_scripts_do():
  data = _png(3, (300, 100))
  wanted = Image.open(io.BytesIO(data)).resize((224, 224), Image.LANCZOS)
  np.testing.assert_array_equal(drawer.read(data), np.asarray(wanted))


def test_masks_do_not_depend_on_their_batch(pen):
  """More pictures than a batch of eight devices, prompts shared unevenly."""
  tasks = [drawer.Task(f"a{i}", _png(i), _BOX) for i in range(9)]
  tasks[1:1] = [drawer.Task("b", _png(0), _POINT)]
  together = {d.id: d.logits for d in pen.draw(tasks)}
  assert together.keys() == {task.id for task in tasks}
  for task in (tasks[0], tasks[1], tasks[-1]):
    (alone,) = pen.draw([task])
    np.testing.assert_allclose(together[task.id], alone.logits, atol=1e-5)
  # The prompt and the picture both matter.
  assert np.abs(together["a0"] - together["b"]).max() > 1e-3
  assert np.abs(together["a0"] - together["a1"]).max() > 1e-3


def test_a_picture_is_encoded_once(pen, monkeypatch):
  encoded = []
  encode = pen._encode
  monkeypatch.setattr(
    pen, "_encode", lambda *a: encoded.append(1) or encode(*a)
  )
  picture = _png(0)
  tasks = [drawer.Task(str(i), picture, _BOX) for i in range(20)]
  assert len(list(pen.draw(tasks))) == 20
  assert len(encoded) == 1


@pytest.mark.parametrize("data", [b"", b"no picture", _png(0)[:200]])
def test_a_picture_that_does_not_decode_is_told(pen, data):
  tasks = [drawer.Task("bad", data, _BOX), drawer.Task("good", _png(0), _BOX)]
  bad, good = pen.draw(tasks)
  assert bad.logits is None
  assert bad.error.startswith("the picture does not decode (")
  assert good.logits.shape == (224, 224)
  (alone,) = pen.draw(tasks[:1])
  assert alone.error


def test_a_place_outside_of_the_frame_draws_something(pen):
  outside = official_scripts.Prompt((-50, 200, 500, 900), ((1000, -3),))
  (drawn,) = pen.draw([drawer.Task("x", _png(0), outside)])
  assert np.isfinite(drawn.logits).all()
