"""Files: what is written comes back, and the bytes repeat."""

import av
import numpy as np
import PIL.Image
import pytest
import soundfile

from crab_jax.synthetic import drawing
from crab_jax.synthetic import encoding
from crab_jax.synthetic import scenes

THING = scenes.Thing("drum", "red", "northwest", spans=((0, 1),))
SCENE = scenes.Scene(2, (THING,), (), seed=0, take=0)


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_video_comes_back(tmp_path, suffix):
  frames = drawing.frames(SCENE, 112, fps=4)
  paths = [tmp_path / f"{name}.{suffix}" for name in ("a", "b")]
  for path in paths:
    encoding.write_video(path, frames, fps=4)
  assert paths[0].read_bytes() == paths[1].read_bytes()
  with av.open(str(paths[0])) as container:
    assert container.streams.video[0].average_rate == 4
    found = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
  assert len(found) == 8
  assert np.abs(np.stack(found) - frames.astype(int)).mean() < 8


@pytest.mark.parametrize(("suffix", "error"), [("wav", 1e-4), ("mp3", 0.05)])
def test_audio_comes_back(tmp_path, suffix, error):
  wave = np.sin(np.arange(32000) / 10).astype(np.float32) / 2
  paths = [tmp_path / f"{name}.{suffix}" for name in ("a", "b")]
  for path in paths:
    encoding.write_audio(path, wave)
  assert paths[0].read_bytes() == paths[1].read_bytes()
  found, rate = soundfile.read(paths[0])
  assert rate == 16000
  assert found.shape == wave.shape
  assert np.abs(found - wave)[2000:-2000].max() < error


def test_images_come_back(tmp_path):
  frame = drawing.frames(SCENE, 112, fps=4)[0]
  mask = drawing.mask([THING], 112)
  encoding.write_image(tmp_path / "a.jpg", frame)
  encoding.write_image(tmp_path / "a.png", mask)
  found = np.asarray(PIL.Image.open(tmp_path / "a.jpg"))
  assert np.abs(found - frame.astype(int)).mean() < 4
  assert (np.asarray(PIL.Image.open(tmp_path / "a.png")) == mask).all()
