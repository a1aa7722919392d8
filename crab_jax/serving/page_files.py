"""The files of the page, and clips of the embedded world for those who have none.

Nothing else can be read through it.
"""

import functools
import importlib.resources
import threading

from crab_jax import configs
from crab_jax import files
from crab_jax.synthetic import drawing
from crab_jax.synthetic import encoding
from crab_jax.synthetic import faces
from crab_jax.synthetic import occasions
from crab_jax.synthetic import scenes
from crab_jax.synthetic import sounds

# The files of the folder `page`, and their types.
_TYPES = {
  "index.html": "text/html; charset=utf-8",
  "docs.html": "text/html; charset=utf-8",
  "style.css": "text/css; charset=utf-8",
  "page.js": "text/javascript; charset=utf-8",
}
_WHOLE = {"": "index.html", "docs": "docs.html"}
_SAMPLES = {f"sample-{number}.mp4": number for number in (1, 2, 3)}
_SIZE = 224  # pixels a side
_SEED = 5  # its scenes are held out of training, as those of any seed
_DRAWING = threading.Lock()  # one sample is drawn at a time, and once


def read(name: str) -> tuple[bytes, str] | None:
  """A file and its type; None: there is no such file. A sample takes a second.

  Args:
    name: after /page/, or what stands behind / of a whole page.
  """
  name = _WHOLE.get(name, name)
  if name in _SAMPLES:
    with _DRAWING:
      return _sample(_SAMPLES[name]), "video/mp4"
  if name not in _TYPES:
    return None
  folder = importlib.resources.files("crab_jax.serving") / "page"
  return (folder / name).read_bytes(), _TYPES[name]


@functools.cache
def _sample(number: int) -> bytes:
  """Two scenes with instruments, then the face of a speaker."""
  occasion = occasions.draw(len(_SAMPLES), _SEED)[number - 1]
  content = occasion.face if number == len(_SAMPLES) else occasion.clip
  drawn = faces if isinstance(content, scenes.Face) else drawing
  with files.scratch() as folder:
    path = folder / "sample.mp4"
    rate = configs.World().video_fps
    pictures = drawn.frames(content, _SIZE, rate)
    encoding.write_film(path, pictures, rate, sounds.waveform(content))
    return path.read_bytes()
