"""Shapes: those of usual prompts, and the longest prompt."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crab_jax import configs
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.serving import asked
from crab_jax.serving import shapes
from tests.data import small_records

MODEL = configs.qwen2_5_omni_7b()
SETTINGS = configs.Slots()
MOST = shapes.largest(MODEL, SETTINGS)

_lengths = st.builds(
  samples.Lengths, st.integers(1, 2000), st.integers(1, 12), st.integers(1, 30)
)


@given(usual=st.lists(_lengths, max_size=20))
def test_there_are_few_and_every_prompt_with_room_has_one(usual):
  found = shapes.of(MODEL, SETTINGS, usual)
  assert len(found) <= 8
  most = found[-1]
  assert MOST.fits(most)
  assert (most.tokens, most.chunks) == (MOST.tokens, MOST.chunks)
  assert len(set(found)) == len(found)
  for prompt in usual:
    # A task of more frames than ours have has room too.
    assert prompt.pairs <= most.pairs
    taken = shapes.smallest(prompt, found)
    assert (taken is not None) == prompt.fits(most)


@given(usual=st.lists(_lengths, max_size=6))
def test_where_prompts_are_of_few_lengths_little_is_padding(usual):
  found = shapes.of(MODEL, SETTINGS, usual)
  for prompt in usual:
    taken = shapes.smallest(prompt, found)
    if taken not in (None, found[-1]):
      assert taken.tokens - prompt.tokens < 32


@pytest.mark.parametrize(
  ("needed", "wanted"),
  [
    # Ten frames and ten seconds: five pairs, five chunks of two seconds.
    ((640, 5, 5), (640, 5, 5)),
    ((641, 5, 5), (1024, 5, 10)),  # beside 20 s of sound: 820 and 192 tokens
    ((1024, 5, 10), (1024, 5, 10)),
    ((1536, 5, 22), dataclasses.astuple(MOST)),
    ((1537, 1, 1), None),
  ],
)
def test_a_prompt_takes_the_cheapest_that_holds_it(needed, wanted):
  found = shapes.of(MODEL, SETTINGS, [samples.Lengths(630, 5, 5)])
  taken = shapes.smallest(samples.Lengths(*needed), found)
  assert taken == (wanted and samples.Lengths(*wanted))


def test_44_seconds_of_sound_have_room():
  assert MOST.chunks >= 22


def test_usual_prompts_are_those_of_all_tasks():
  table = asked.with_free_question(tasks.Tasks())
  texts = [small_records.record(name, 3) for name in tasks.Tasks()]
  tokenizer = small_records.small_tokenizer(texts)
  maker = samples.sample_maker(
    tokenizer, small_records.DATA, small_records.MODEL, table
  )
  found = dict(zip(table, shapes.usual(maker), strict=True))
  pairs = small_records.MODEL.vision.units_of
  chunks = small_records.MODEL.audio.unit_lengths
  for name, frames, seconds in (
    ("s4", 1, 1),
    ("cremad", 4, 4),
    ("ave", 10, 10),
    ("avqa", 10, 20),
    ("a2v", 20, 10),
    ("v2a", 10, 20),
    (asked.FREE, 10, 10),
  ):
    assert found[name].pairs == pairs(frames), name
    assert found[name].chunks == len(chunks(seconds * 16000)), name
  # The tasks' own words count: those of a picture, and a question's.
  assert found["s4"].tokens < found["ref_avs"].tokens < found["avqa"].tokens
  fitting = shapes.of(small_records.MODEL, SETTINGS, list(found.values()))
  for name, prompt in found.items():
    taken = shapes.smallest(prompt, fitting)
    assert taken != fitting[-1], name


def test_a_model_without_room_for_usual_prompts_has_the_largest_shape_alone():
  table = asked.with_free_question(tasks.Tasks())
  model = small_records.MODEL
  decoder = dataclasses.replace(model.decoder, context=8)
  maker = samples.sample_maker(
    small_records.small_tokenizer([small_records.record("ave", 3)]),
    small_records.DATA,
    dataclasses.replace(model, decoder=decoder),
    table,
  )
  assert shapes.usual(maker) == []
  settings = configs.Slots(prompt_tokens=8)
  assert len(shapes.of(model, settings, shapes.usual(maker))) == 1
