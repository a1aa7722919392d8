"""soundfile, made ready for threads; the package imports it from here.

cffi builds the C types of a library when a call first needs them, and guards
that in builds of Python without a GIL only. With a GIL, two threads that are
the first at once can end the process: "Assertion ... failed" in
realize_c_type.c (seen with cffi 2.1.1; python-cffi/cffi has the question "Is lazy
type realization intended to be thread-safe on GIL builds"). So the thread that
imports this module makes every kind of call that the package makes once; imports
are serial.
"""

import io
import os

import numpy as np
import soundfile

__all__ = ["soundfile"]

_RATE = 16_000


def _call_all() -> None:
  wave = np.zeros(16, np.float32)
  buffer = io.BytesIO()
  with soundfile.SoundFile(
    buffer, "w", _RATE, 1, "PCM_16", format="FLAC"
  ) as file:
    for kind in (np.float32, np.float64, np.int16, np.int32):
      file.write(wave.astype(kind))
  buffer.seek(0)
  with soundfile.SoundFile(buffer) as file:
    for name in ("float32", "float64", "int16", "int32"):
      file.seek(0)
      file.read(8, dtype=name, always_2d=True)
  soundfile.info(io.BytesIO(buffer.getvalue()))
  try:
    soundfile.info(os.devnull)  # by its path: another call
  except soundfile.LibsndfileError as error:
    str(error)  # the text is looked up when it is asked for


_call_all()
