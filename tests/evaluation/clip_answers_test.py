"""What is said of a clip beside its answers."""

import types

import numpy as np

from crab_jax import configs
from crab_jax.data import encodings
from crab_jax.evaluation import clip_answers


def test_sound_that_no_model_hears_is_told():
  def record(seconds):
    wave = np.zeros(int(seconds * configs.SAMPLE_RATE), np.float32)
    return types.SimpleNamespace(audio=encodings.encode_audio(wave))

  assert clip_answers.unheard(record(300.0)) is None
  said = clip_answers.unheard(record(301.5))
  assert said == "the model hears the first 300 s of 301.5 s of sound"
