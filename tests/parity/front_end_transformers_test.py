"""What the model is fed is what transformers' processors would feed it.

Mel, patch rows, token counts, window index and position ids, each against its
own code; then samples of our pipeline, packed by it, against the whole model.
"""

import dataclasses

import jax
import numpy as np
import pytest
import torch
import transformers
from transformers import vision_utils

from crab_jax import configs
from crab_jax.data import encodings
from crab_jax.data import packing
from crab_jax.data import positions
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.paradigms import thinker
from crab_jax.paradigms.qwen2_5_omni import front_end
from crab_jax.paradigms.qwen2_5_omni import grammar
from crab_jax.paradigms.qwen2_5_omni import vision_tower
from tests.data import small_records
from tests.paradigms.qwen2_5_omni import patch_rows
from tests.parity import torch_thinker

_AUDIO = configs.AudioTower()


def _tokens(frames: int) -> int:
  """Audio tokens of a clip of so many mel frames."""
  return sum(map(_AUDIO.tokens_of, _AUDIO.unit_lengths(160 * frames)))


@pytest.mark.parametrize("count", [201, 16_000, 16_001, 31_999, 161_234])
def test_log_mel(count):
  rng = np.random.default_rng(count)
  wave = (0.2 * rng.standard_normal(count)).astype(np.float32)
  wave[: count // 2] *= np.linspace(0, 0.01, count // 2)  # near silence, too
  extract = transformers.WhisperFeatureExtractor(
    feature_size=128, chunk_length=300
  )
  theirs = extract(
    wave, sampling_rate=16_000, return_attention_mask=True, return_tensors="np"
  )
  kept = theirs["attention_mask"][0].astype(bool)
  expected = theirs["input_features"][0][:, kept].T
  found = front_end.log_mel(wave, 128)
  assert found.shape == expected.shape
  assert np.abs(expected).max() > 0.5
  difference = np.abs(found - expected).max()
  print("mel differs by", difference)
  assert difference < torch_thinker.TOLERANCE


@pytest.mark.parametrize("beyond", [-300, -30, 0, 1000])
def test_the_last_frames_of_300_seconds(beyond):
  """The window is full: what the last frames see beyond it is reflected."""
  rng = np.random.default_rng(7)
  wave = np.zeros(front_end.MAX_SAMPLES + beyond, np.float32)
  wave[-3000:] = 0.2 * rng.standard_normal(3000)
  extract = transformers.WhisperFeatureExtractor(
    feature_size=128, chunk_length=300
  )
  theirs = extract(wave, sampling_rate=16_000, return_tensors="np")
  found = front_end.log_mel(wave, 128)
  expected = theirs["input_features"][0].T[: len(found)]
  assert len(found) == configs.AudioTower().mel_frames(len(wave)) >= 29_998
  difference = np.abs(found - expected)[-20:].max()
  assert difference < torch_thinker.TOLERANCE


def test_audio_token_counts(reference):
  frames = np.r_[3:2100, 29_900:30_001]
  tower = reference.model.audio_tower
  _, expected = tower._get_feat_extract_output_lengths(torch.tensor(frames))
  found = [_tokens(int(count)) for count in frames]
  np.testing.assert_array_equal(found, expected)


def test_window_index():
  tower = configs.VisionTower()
  index, ends = vision_utils.get_vision_window_index(
    torch.tensor([[3, 16, 16]]), tower.merge, tower.window, tower.patch
  )
  order = vision_tower.window_order(tower)
  found = np.concatenate([64 * pair + order for pair in range(3)])
  np.testing.assert_array_equal(found, index)
  np.testing.assert_array_equal(np.arange(0, 769, 64), ends)


def test_patch_rows_of_an_image():
  picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
  processor = transformers.Qwen2VLImageProcessorPil(
    size={"shortest_edge": 3136, "longest_edge": 12_845_056}
  )
  theirs = processor(picture, return_tensors="np")
  np.testing.assert_array_equal(theirs["image_grid_thw"], [[1, 16, 16]])
  tower = configs.VisionTower()
  pair = np.stack([picture, picture])[None]
  found = patch_rows.patch_rows(pair, tower)
  assert np.abs(found - theirs["pixel_values"]).max() < 2.4e-7
  rows = vision_tower.patchify(pair[None], tower)[0].reshape(64, 4, -1)
  back = np.argsort(vision_tower.window_order(tower))
  assert np.abs(np.asarray(rows)[back].reshape(found.shape) - found).max() < (
    4.8e-7
  )


def _mixed_prompt(rng) -> tuple[list[int], list[positions.Run], dict]:
  """Text, pictures, videos and sounds in any order: ids, runs, grids."""
  ids, runs = [], []
  given = {"image": [], "video": [], "mel": []}
  for kind in rng.permutation(["image", "video", "audio"] * 2)[
    : rng.integers(7)
  ]:
    text = int(rng.integers(1, 9))
    ids += [*rng.integers(0, 180, text)]
    runs.append(positions.Run(text + 1))
    if kind == "audio":
      mel = int(rng.integers(3, 700))
      given["mel"].append(mel)
      count = _tokens(mel)
      ids += [torch_thinker.HEARD] + [torch_thinker.AUDIO] * count
      runs.append(positions.Run(count))
      ids.append(torch_thinker.HEARD_END)
    else:
      pairs = 1 if kind == "image" else int(rng.integers(1, 5))
      rows, columns = (int(x) for x in rng.integers(1, 6, 2))
      given[kind].append([pairs, 2 * rows, 2 * columns])
      count = pairs * rows * columns
      place = {"image": torch_thinker.IMAGE, "video": torch_thinker.VIDEO}[kind]
      ids += [torch_thinker.SEEN] + [place] * count
      runs.append(positions.Run(count, (pairs, rows, columns)))
      ids.append(torch_thinker.SEEN_END)
    runs.append(positions.Run(1))
  text = int(rng.integers(1, 9))
  return (
    ids + [*rng.integers(0, 180, text)],
    [*runs, positions.Run(text)],
    given,
  )


@pytest.fixture(scope="module")
def reference():
  return torch_thinker.make()


@pytest.mark.parametrize("seed", range(30))
def test_position_ids_of_mixed_prompts(reference, seed):
  rng = np.random.default_rng(seed)
  ids, runs, given = _mixed_prompt(rng)
  seconds = float(rng.choice([0.04, 0.3, 1.0, 2.0, 6.6]))

  def tensor(values):
    return torch.tensor(values) if values else None

  expected, _ = reference.model.get_rope_index(
    torch.tensor(np.array(ids)[None]),
    tensor(given["image"]),
    tensor(given["video"]),
    torch.ones(1, len(ids), dtype=torch.long),
    False,
    tensor(given["mel"]),
    tensor([seconds] * len(given["video"])),
  )
  found = positions.position_ids(runs, seconds)
  np.testing.assert_array_equal(found, expected[:, 0].T)


# A video with sound, a picture with sound, two videos with two sounds.
_RECORDS = [
  small_records.record(name, row)
  for row, name in enumerate(("ks", "s4", "a2v"), 3)
]


@pytest.fixture(scope="module")
def maker():
  tokenizer = small_records.small_tokenizer(_RECORDS)
  decoder = dataclasses.replace(
    torch_thinker.MODEL.decoder, vocabulary=tokenizer.size
  )
  model = dataclasses.replace(torch_thinker.MODEL, decoder=decoder)
  return samples.sample_maker(
    tokenizer, small_records.DATA, model, tasks.Tasks()
  )


def _torch_sample(record, sample, bins) -> torch_thinker.Sample:
  """What the other side is given: the waveform's mel is of its own making."""
  extract = transformers.WhisperFeatureExtractor(
    feature_size=bins, chunk_length=300
  )
  wave = encodings.decode_audio(record.audio)
  mel = extract(wave, sampling_rate=16_000, return_tensors="np")
  mel = mel["input_features"][0, :, : -(-len(wave) // 160)].T
  image = record.task == "s4"
  return torch_thinker.Sample(
    sample["tokens"].astype(np.int64), sample["frames"], image, (mel,)
  )


def _torch_results(maker, made) -> tuple:
  """The thinker of transformers, its logits of each sample, its loss."""
  ids = maker.chat.tokenizer.ids
  reference = torch_thinker.make(maker.model)
  reference.config.audio_token_id = ids[grammar.AUDIO]
  reference.config.image_token_id = ids[grammar.IMAGE]
  reference.config.video_token_id = ids[grammar.VIDEO]
  reference.config.vision_start_token_id = ids[grammar.VISION_BOS]
  reference.config.audio_start_token_id = ids[grammar.AUDIO_BOS]
  bins = maker.model.audio.bins
  chosen = [
    _torch_sample(record, sample, bins)
    for record, sample in zip(_RECORDS, made, strict=True)
  ]
  inputs = torch_thinker.torch_inputs(chosen)
  labels = torch.full_like(inputs["input_ids"], -100)
  for row, sample in zip(labels, made, strict=True):
    row[: len(sample["labels"])] = torch.tensor(sample["labels"])
  with torch.no_grad():
    found = reference(**inputs, labels=labels)
  logits = [
    row[: len(sample["tokens"])].numpy()
    for row, sample in zip(found.logits, made, strict=True)
  ]
  return reference, logits, float(found.loss)


def test_batches_of_our_pipeline(maker):
  """Records, packed by the product: all samples in one row, one row empty."""
  made = [maker.train(record) for record in _RECORDS]
  reference, expected, loss = _torch_results(maker, made)
  needed = sum(packing.sizes(sample) for sample in made)
  rows = configs.Rows(2, *(int(size) + 3 for size in needed))
  layout = packing.Layout(2, rows, maker.model, maker.chat.tokenizer.pad)
  batch = layout.stack([made])
  params = torch_thinker.params_of(reference)
  model = thinker.Thinker(maker.model)

  @jax.jit
  def run(params):
    loss = model.apply({"params": params}, batch, method="loss")
    logits = model.apply({"params": params}, batch, method="logits")
    return loss.total / loss.weight, logits[0]

  found_loss, logits = run(params)
  start = 0
  for theirs in expected:
    part = np.asarray(logits)[start : start + len(theirs)]
    difference = np.abs(part - theirs).max()
    print("logits differ by", difference, "of", np.abs(theirs).max())
    assert difference < torch_thinker.TOLERANCE
    start += len(theirs)
  print("loss differs by", abs(float(found_loss) - loss))
  assert abs(float(found_loss) - loss) < 1e-5
