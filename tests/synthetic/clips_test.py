"""Scenes of clips: events, and one distribution for all sets of a layout."""

import numpy as np
import pytest
import sklearn.ensemble

from crab_jax import configs
from crab_jax.data import tasks
from crab_jax.synthetic import build
from crab_jax.synthetic import clips
from crab_jax.synthetic import drawing
from crab_jax.synthetic import faces
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes
from crab_jax.synthetic import sounds

_CLIPS = ("ks", "ucf", "ave", "unav", "avvp", "avqa_thu")
_FACES = ("meld", "mer24", "cremad", "mafw", "dfew")
_PICTURES = ("ms3", "s4", "ref_avs")
_SIZE = 32  # pixels of the frames that the classifier sees every second of
_MEAN = (
  _SIZE // 2
) ** 2 * 3  # features that are the mean frame, the first ones


@pytest.fixture(scope="module")
def found() -> list[scenes.Scene]:
  rng = np.random.default_rng(0)
  return [clips.scene(rng, "train") for _ in range(300)]


def test_an_event_is_seen_and_heard_for_two_or_three_seconds(found):
  for scene in found:
    events = clips.events(scene)
    assert events
    names = {sound.name for sound in scene.sounds}
    assert [e.thing.name for e in events] == [
      t.name for t in clips.instruments(scene) if t.name in names
    ]
    for event in events:
      start, end = event.span
      assert 2 <= end - start <= 3
      assert event.span != event.seen or event.span != event.heard
      for span in (event.seen, event.heard):
        assert 0 <= span[0] <= start < end <= span[1] <= clips.SECONDS


def test_events_come_in_turn(found):
  for scene in found:
    first, second = clips.instruments(scene)
    ends = first.spans[0][1], scene.sounds[0].end
    begins = second.spans[0][0], scene.sounds[1].start
    assert max(ends) <= min(begins)


def test_things_have_colours_and_quarters_of_their_own(found):
  for scene in found:
    assert len({thing.quarter for thing in scene.things}) == 3
    assert len({thing.colour for thing in scene.things}) == 3
    assert not any(thing.held_out for thing in scene.things)
    assert clips.dancer(scene).name == scenes.DANCER


def test_tests_show_dancers_held_out_of_training():
  rng = np.random.default_rng(0)
  shown = [clips.dancer(clips.scene(rng, "test")).held_out for _ in range(400)]
  assert 0.01 < np.mean(shown) < 0.15


def test_what_is_wanted_is_shown():
  rng = np.random.default_rng(1)
  for _ in range(50):
    scene = clips.scene(rng, "train", "bell", "jumping")
    assert clips.events(scene)[0].thing.name == "bell"
    assert clips.dancer(scene).motion == "jumping"


def _contents(task: str, count: int) -> list[tuple]:
  """The scene that is seen and the scene that is heard, of each clip."""
  world = configs.World(train_samples=count)
  jobs = build.plan(tasks.Tasks()[task], "train", world).jobs
  if not isinstance(jobs[0], plans.Video):
    return [(job.content, job.content) for job in jobs]
  return [
    (s.content, h.content) for s, h in zip(jobs[::2], jobs[1::2], strict=True)
  ]


def _features(seen, heard) -> np.ndarray:
  """Frames and spectrum of a clip, coarse, as a vector."""
  if isinstance(seen, scenes.Face):
    frames = faces.frames(seen, _SIZE, 1)
  elif seen.things and seen.things[-1].name == scenes.DANCER:
    frames = drawing.frames(seen, _SIZE, 1)
  else:
    frames = drawing.picture(seen, _SIZE)[None]
  frames = frames[:, ::2, ::2].astype(np.float32) / 255
  wave = sounds.waveform(heard)[: 4 * 16000]
  windows = wave[: wave.size // 400 * 400].reshape(-1, 400)
  power = np.log(1e-3 + abs(np.fft.rfft(windows, axis=1)))
  spectrum = power.reshape(-1, 20, 201).mean(1)[:, :200].reshape(-1, 20, 10)
  moments = [frames.mean(0), frames.std(0), frames.max(0)]
  return np.concatenate(
    [*(m.ravel() for m in moments), spectrum.mean(2).ravel()]
  )


def _told_apart(groups: list[np.ndarray]) -> float:
  """The accuracy of a forest on the second half of each group."""
  halves = [
    np.concatenate([g[: len(g) // 2] for g in groups]),
    np.concatenate([g[len(g) // 2 :] for g in groups]),
  ]
  labels = np.repeat(np.arange(len(groups)), [len(g) // 2 for g in groups])
  forest = sklearn.ensemble.RandomForestClassifier(
    60, min_samples_leaf=3, random_state=0
  )
  return float(
    (forest.fit(halves[0], labels).predict(halves[1]) == labels).mean()
  )


@pytest.mark.parametrize("names", [_CLIPS, _FACES, _PICTURES])
def test_a_scene_does_not_tell_the_set(names):
  """Nor is that for want of power: it tells what differs a little."""
  count = 80
  groups = []
  for name in names:
    own = _contents(name, 240)[:count]
    groups.append(np.stack([_features(*pair) for pair in own]))
  chance = 1 / len(groups)
  tested = count // 2 * len(groups)
  error = np.sqrt(chance * (1 - chance) / tested)
  assert _told_apart(groups) < chance + 0.05 + 2 * error
  # The pictures of one set are brighter by a fiftieth.
  groups[0][:, :_MEAN] += 0.02
  assert _told_apart(groups) > chance + 0.05 + 2 * error
