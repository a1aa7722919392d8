"""Shapes: the usual clips, and the longest prompt."""

import pytest

from crab_jax import configs
from crab_jax.data import samples
from crab_jax.serving import shapes

MODEL = configs.qwen2_5_omni_7b()
SETTINGS = configs.Slots()


def test_there_are_few_and_the_last_holds_all():
  found = shapes.of(MODEL, SETTINGS)
  assert len(found) <= 8
  assert found[-1].tokens == SETTINGS.prompt_tokens
  assert all(shapes.fits(shape, found[-1]) for shape in found)


@pytest.mark.parametrize(
  ("needed", "wanted"),
  [
    # Ten frames and ten seconds: five pairs, five chunks of two seconds.
    (samples.Lengths(740, 5, 5), samples.Lengths(768, 5, 5)),
    (samples.Lengths(200, 1, 1), samples.Lengths(384, 1, 1)),
    (samples.Lengths(769, 5, 5), samples.Lengths(1024, 5, 10)),
    (samples.Lengths(1536, 5, 22), shapes.largest(MODEL, SETTINGS)),
    (samples.Lengths(1537, 1, 1), None),
  ],
)
def test_a_prompt_takes_the_cheapest_that_holds_it(needed, wanted):
  assert shapes.smallest(needed, shapes.of(MODEL, SETTINGS)) == wanted


def test_44_seconds_of_sound_have_room():
  most = shapes.largest(MODEL, SETTINGS)
  assert most.chunks >= 22
