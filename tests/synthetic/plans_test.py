"""Plans: equal files are written once, masks agree with boxes."""

import dataclasses

import numpy as np
import PIL.Image

from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

THINGS = (
  scenes.Thing("drum", "red", "northwest", side=84),
  scenes.Thing("flute", "blue", "northeast", side=56),
)


def _scene(seconds: int) -> scenes.Scene:
  sounds = (scenes.Sound("drum", 0, seconds),)
  return scenes.Scene(seconds, THINGS, sounds, seed=1, take=2)


def test_equal_content_is_one_job_with_all_its_paths(tmp_path):
  plan = plans.Plan()
  plan.add_clip(_scene(2), "ks", "a.mp4", "a.wav")
  other = dataclasses.replace(_scene(2), seed=9)  # another picture, same sound
  plan.add_clip(other, "ucf", "b.avi", "b.wav")
  jobs = plans.merged(plan.jobs)
  assert [job.targets for job in jobs] == [
    ("ks/video/a.mp4",),
    ("ks/audio/a.wav", "ucf/audio/b.wav"),
    ("ucf/video/b.avi",),
  ]
  for job in jobs:
    job.write(tmp_path, 64, 4)
  sounds = [tmp_path / path for path in jobs[1].targets]
  assert sounds[0].read_bytes() == sounds[1].read_bytes()


def test_avs_folder_holds_pictures_sound_and_masks(tmp_path):
  job = plans.AvsFolder(
    _scene(5),
    ("s4/AVS/v1s/x", "arig/AVS/v1s/x"),
    ("drum",) * 3 + ("flute",) * 2,
  )
  job.write(tmp_path, 112, 4)
  files = [
    sorted(
      p.relative_to(tmp_path / t).as_posix()
      for p in (tmp_path / t).rglob("*.*")
    )
    for t in job.targets
  ]
  assert files[0] == files[1]
  assert len(files[0]) == 16
  for i, thing in ((0, THINGS[0]), (4, THINGS[1])):
    for kind in ("labels_rgb", "labels_semantic"):
      path = tmp_path / job.targets[0] / kind / f"{i}.png"
      assert _box(path) == thing.box


def test_ref_folder_has_an_empty_mask_where_nothing_fits(tmp_path):
  masks = (("gt/fid_0", "flute"), ("gt/fid_1", None))
  plans.RefFolder(_scene(10), ("media/x",), masks).write(tmp_path, 112, 4)
  assert len(list((tmp_path / "media/x/frames").iterdir())) == 10
  for i in range(10):
    assert _box(tmp_path / f"gt/fid_0/{i:05d}.png") == THINGS[1].box
    empty = np.asarray(PIL.Image.open(tmp_path / f"gt/fid_1/{i:05d}.png"))
    assert not empty.any()


def _box(path) -> tuple[int, ...]:
  """The extent of a mask, read as the official scorer reads it."""
  grey = PIL.Image.open(path).convert("L").resize((224, 224), 0)
  rows, columns = np.where(np.asarray(grey) > 0)
  corners = columns.min(), rows.min(), columns.max(), rows.max()
  return tuple(int(value) for value in corners)
