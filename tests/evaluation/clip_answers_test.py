"""What is said of a clip beside its answers, and what is written."""

import json
import types

import numpy as np
import pytest
from PIL import Image

from crab_jax import configs
from crab_jax import files
from crab_jax.data import clip
from crab_jax.data import encodings
from crab_jax.data import tasks
from crab_jax.evaluation import clip_answers
from crab_jax.evaluation import decode
from crab_jax.evaluation.masking import clip_masks
from crab_jax.evaluation.scoring import masks
from crab_jax.training import mask_folder
from crab_jax.training import model_folder
from crab_jax.weights import base
from tests.data import clips
from tests.data import small_records
from tests.evaluation.masking import small_sam2
from tests.models import random_parameters

_SAID = "[40,40,160,160] [90,90] [91,91] [92,92]"


def test_sound_that_no_model_hears_is_told():
  def record(seconds):
    wave = np.zeros(int(seconds * configs.SAMPLE_RATE), np.float32)
    return types.SimpleNamespace(audio=encodings.encode_audio(wave))

  assert clip_answers.unheard(record(300.0)) is None
  said = clip_answers.unheard(record(301.5))
  assert said == "the model hears the first 300 s of 301.5 s of sound"


@pytest.fixture
def request_(tmp_path, monkeypatch):
  """About a picture and a sound, of a model that always names one place."""
  model = small_records.MODEL
  small_records.small_tokenizer([small_records.record("s4", 0)]).save(
    tmp_path / base.TOKENIZER
  )
  model_folder.save(
    tmp_path / "model",
    random_parameters.draw(model),
    model,
    {base.TOKENIZER: tmp_path / base.TOKENIZER},
  )
  mask_folder.save(
    files.path(tmp_path / "sam2"), small_sam2.CONFIG, small_sam2.params()
  )
  pixels = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
  clips.write_image(tmp_path / "picture.png", pixels)
  clips.write_audio(tmp_path / "sound.wav", clips.tone(1.0))

  def answers(records):
    return [decode.row(record, _SAID, None) for record in records]

  # Random parameters name no place.
  monkeypatch.setattr(
    clip_answers,
    "_answerer",
    lambda *_: types.SimpleNamespace(answers=answers),
  )
  return clip_answers.Request(
    clip.Clip(
      image=files.path(tmp_path / "picture.png"),
      audio=files.path(tmp_path / "sound.wav"),
    ),
    "s4",
    max_new_tokens=4,
    gates=False,
    masks=files.path(tmp_path / "sam2"),
  )


def test_the_mask_of_an_answer_is_written_and_drawn(request_, tmp_path):
  out = files.path(tmp_path / "answers")
  clip_answers.run(request_, files.path(tmp_path / "model"), None, out)
  (line,) = json.loads((out / "answers.json").read_text())
  assert line["answer"]["box"] == [40, 40, 160, 160]
  task = tasks.Tasks()["s4"]
  pen = clip_masks.ClipMasks(request_.masks)
  wanted = pen.of_answers(request_.clip, [(task, _SAID)])["s4"]
  found = masks.from_rle(line["mask"])
  np.testing.assert_array_equal(found, wanted)
  assert 0 < found.sum() < found.size
  drawn = Image.open(out / line["picture"]).resize((224, 224))
  plain = Image.open(request_.clip.image).convert("RGB").resize((224, 224))
  change = np.abs(np.asarray(drawn).astype(int) - np.asarray(plain)).mean(-1)
  assert change[found].mean() > change[~found].mean() + 10
