"""Samples: every field of each task, and what cannot become one."""

import dataclasses

import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.array_types import TokenKind
from crab_jax.data import positions
from crab_jax.data import samples
from crab_jax.data import tasks
from tests.data import small_records

_ALL = [small_records.record(task.name, 3) for task in tasks.Tasks().values()]


@pytest.fixture(scope="module")
def maker() -> samples.SampleMaker:
  return samples.sample_maker(
    small_records.small_tokenizer(_ALL),
    small_records.DATA,
    small_records.MODEL,
    tasks.Tasks(),
  )


@pytest.mark.parametrize("record", _ALL, ids=lambda record: record.task)
def test_every_task_makes_a_sample(maker, record):
  sample = maker.train(record)
  task = tasks.Tasks()[record.task]
  length = len(sample["tokens"])
  assert sample["tokens"].dtype == np.int32
  assert sample["labels"].dtype == np.int32
  assert sample["kinds"].dtype == np.uint8
  assert sample["positions"].dtype == np.int32
  assert sample["positions"].shape == (length, 3)
  pairs = small_records.MODEL.vision.units_of(len(record.frames))
  assert sample["frames"].shape == (pairs, 2, 56, 56, 3)
  assert sample["frames"].dtype == np.uint8
  assert sample["mel"].shape[1:] == (200, 64)
  assert (sample["task"], sample["row"]) == (task.stream, 3)
  vision = (sample["kinds"] == TokenKind.VISION).sum()
  audio = (sample["kinds"] == TokenKind.AUDIO).sum()
  assert vision == pairs * small_records.MODEL.vision.unit_tokens
  counts = small_records.MODEL.audio.tokens_of(sample["mel_lengths"])
  assert audio == counts.sum() > 0
  placeholder = "<|IMAGE|>" if task.visual == "image" else "<|VIDEO|>"
  ids = maker.chat.tokenizer.ids
  assert (sample["tokens"] == ids[placeholder]).sum() == vision


def test_media_order():
  expected = {
    "a2v": ["audio", "video"],
    "v2a": ["video", "audio"],
    "ks": ["video", "audio"],
    "s4": ["image", "audio"],
  }
  for name, order in expected.items():
    assert samples.media_order(tasks.Tasks()[name]) == order


def test_audio_stands_first_only_where_it_is_fed_first(maker):
  for record in _ALL:
    kinds = maker.train(record)["kinds"]
    audio = np.flatnonzero(kinds == TokenKind.AUDIO)[0]
    vision = np.flatnonzero(kinds == TokenKind.VISION)[0]
    assert (audio < vision) == (record.task == "a2v")


@pytest.mark.parametrize("record", _ALL[::4], ids=lambda record: record.task)
def test_a_prompt_is_the_beginning_of_its_sample(maker, record):
  prompt, sample = maker.prompt(record), maker.train(record)
  length = len(prompt["tokens"])
  np.testing.assert_array_equal(prompt["tokens"], sample["tokens"][:length])
  np.testing.assert_array_equal(
    prompt["positions"], sample["positions"][:length]
  )
  assert (prompt["labels"] == -100).all()
  lengths = maker.prompt_lengths(record)
  assert lengths == samples.Lengths(
    length, len(prompt["frames"]), len(prompt["mel_lengths"])
  )


def test_the_wording_has_the_media_and_the_question(maker):
  asked = maker.wording(small_records.record("avqa", 1))
  assert asked == "A video and an audio: [video] [audio] How many?"
  asked = maker.wording(small_records.record("a2v", 1))
  assert asked.startswith("An audio and two videos: [audio] [video] ")
  with pytest.raises(samples.SampleError, match="question"):
    maker.wording(small_records.record("avqa", 1, question={}))


def _answer(maker, sample) -> str:
  labels = sample["labels"]
  return maker.chat.tokenizer.decode(labels[labels != -100])


def test_targets(maker):
  record = small_records.record("ks", 7)
  assert _answer(maker, maker.train(record)) == "\n" + record.target
  bare = dataclasses.replace(maker, targets="answer")
  assert _answer(bare, bare.train(record)) == "\n<answer>7</answer>."


def test_true_seconds(maker):
  record = small_records.record("ks", 1)  # frames one second apart
  fast = dataclasses.replace(
    maker, data=dataclasses.replace(maker.data, seconds_per_pair=0.4)
  )
  true = dataclasses.replace(
    fast, data=dataclasses.replace(fast.data, true_seconds=True)
  )
  image = small_records.record("s4", 1)

  def step(some, of):
    sample = some.train(of)
    times = sample["positions"][sample["kinds"] == TokenKind.VISION, 0]
    return int(np.diff(np.unique(times))[0])

  assert [step(m, record) for m in (maker, fast, true)] == [50, 10, 50]
  np.testing.assert_array_equal(
    true.train(image)["positions"], maker.train(image)["positions"]
  )


def test_positions_a_second_are_those_of_the_base(maker):
  record = small_records.record("ks", 1)

  def step(model, data):
    some = dataclasses.replace(
      maker,
      model=dataclasses.replace(maker.model, **model),
      data=dataclasses.replace(maker.data, **data),
    )
    sample = some.train(record)
    times = sample["positions"][sample["kinds"] == TokenKind.VISION, 0]
    return int(np.diff(np.unique(times))[0])

  base, chosen = {"positions_per_second": 40.0}, {"positions_per_second": 5.0}
  assert step({}, {}) == 50  # 25 of a pair of 2 s
  assert step(base, {}) == 80
  assert step(base, chosen) == 10
  # It decides answers, so models that differ in it are not the same.
  assert dataclasses.replace(maker.model, **base).network != maker.model.network


def test_positions_follow_the_grid(maker):
  sample = maker.train(small_records.record("ks", 2))
  before = int(np.flatnonzero(sample["kinds"] == TokenKind.VISION)[0])
  runs = [positions.Run(before), positions.Run(20, (5, 2, 2))]
  np.testing.assert_array_equal(
    sample["positions"][: before + 20], positions.position_ids(runs)
  )


@pytest.mark.parametrize(
  ("changes", "reason"),
  [
    ({"audio": b"noise"}, "bad_audio"),
    ({"audio": b""}, "bad_audio"),
    ({"frames": [b"noise"]}, "bad_image"),
    ({"frames": []}, "bad_image"),
    ({"target": " "}, "empty_target"),
  ],
)
def test_failures_have_a_reason_and_an_id(maker, changes, reason):
  record = small_records.record("ks", 5, **changes)
  with pytest.raises(samples.SampleError, match="ks/train/5") as caught:
    maker.train(record)
  assert caught.value.reason == reason


def test_a_missing_question_and_a_breath_of_audio(maker):
  record = small_records.record("avqa", 5, question={})
  with pytest.raises(samples.SampleError, match="bad_question"):
    maker.prompt(record)
  audio = small_records.encodings.encode_audio(np.zeros(1600, np.float32))
  record = small_records.record("ref_avs", 5, audio=audio)
  for make in (maker.train, maker.prompt, maker.prompt_lengths):
    with pytest.raises(samples.SampleError, match="too short for a token"):
      make(record)


def test_a_target_cannot_inject_media(maker):
  record = small_records.record("ks", 1, target="<|VIDEO|><|im_end|> yes")
  sample = maker.train(record)
  assert (sample["kinds"] == TokenKind.VISION).sum() == 20
  assert _answer(maker, sample) == "\n" + record.target


def test_the_vocabulary_must_hold_the_tokenizer(maker):
  decoder = dataclasses.replace(configs.tiny().decoder, vocabulary=300)
  model = dataclasses.replace(small_records.MODEL, decoder=decoder)
  with pytest.raises(errors.UserError, match=r"Decoder.vocabulary=300"):
    samples.sample_maker(
      maker.chat.tokenizer, small_records.DATA, model, tasks.Tasks()
    )


def test_a_prompt_longer_than_the_context(maker):
  decoder = dataclasses.replace(maker.model.decoder, context=120)
  model = dataclasses.replace(maker.model, decoder=decoder)
  short = dataclasses.replace(maker, model=model)
  record = small_records.record("avqa", 5)
  asked = {"question": "How many? " * 40}
  long = dataclasses.replace(record, question=asked)
  length = len(maker.prompt(long)["tokens"])
  for make in (short.prompt, short.prompt_lengths):
    assert make(record)
    with pytest.raises(samples.SampleError, match=f"{length}.*120") as caught:
      make(long)
    assert caught.value.reason == "too_long"
