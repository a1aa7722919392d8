"""The library of sound files as threads find it."""

import subprocess
import sys

# Prints the C functions that the package calls and that had not been called
# when sound_files was imported: each could be the first one of two threads.
_CALLS = """
import contextlib, pathlib, tempfile
import numpy as np
import soundfile

class Recorded:
  def __init__(self, wrapped):
    self.__dict__.update(wrapped=wrapped, names=set())
  def __getattr__(self, name):
    self.names.add(name)
    return getattr(self.wrapped, name)

library = soundfile._snd = Recorded(soundfile._snd)
from crab_jax import sound_files
made = set(library.names)
from crab_jax import errors
from crab_jax.data import encodings, statuses
from crab_jax.data.media import sound

wave = np.sin(np.arange(40_000) / 9).astype(np.float32)
data = encodings.encode_audio(wave)
encodings.decode_audio(data)
encodings.audio_samples(data)
for broken in (b"", data[:60], b"RIFF"):
  for call in (encodings.decode_audio, encodings.audio_samples):
    with contextlib.suppress(ValueError):
      call(broken)
with tempfile.TemporaryDirectory() as folder:
  for name in ("a.wav", "a.flac", "a.mp3", "a.ogg"):
    path = pathlib.Path(folder, name)
    soundfile.write(path, wave, 16_000)
    sound.read_audio(path)
    path.write_bytes(b"nothing")
    with contextlib.suppress(statuses.RecordError):
      sound.read_audio(path)
assert len(library.names) > 10
print(sorted(library.names - made))
"""


def test_no_call_is_left_to_be_the_first_of_two_threads():
  done = subprocess.run(
    [sys.executable, "-c", _CALLS], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == "[]"
