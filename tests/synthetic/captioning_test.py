"""Captions say what the clip shows and sounds like."""

from crab_jax.synthetic import clips
from crab_jax.synthetic import plans
from tests.synthetic import guessing


def test_caption_names_things_and_sounds_in_order():
  train, _ = guessing.plans("avcap", 60)
  pictures = [job for job in train.jobs if isinstance(job, plans.Video)]
  noises = [job for job in train.jobs if isinstance(job, plans.Audio)]
  for record, seen, heard in zip(train.records, pictures, noises, strict=True):
    first, second = record["label_content"].rstrip(".").split(". ")
    for thing in clips.instruments(seen.content):
      assert f"{thing.colour} {thing.name} {thing.quarter}" in first
    names = [sound.name for sound in heard.content.sounds]
    assert second.index(names[0]) < second.index(names[1])


def test_captions_are_of_the_clips_of_unav():
  pools = [
    {job.content for job in guessing.plans(task, 30)[0].jobs}
    for task in ("avcap", "unav")
  ]
  assert pools[0] == pools[1]
