"""Occasions: one scene, a record of every set, facts that fit together."""

import json

import pytest

from crab_jax import configs
from crab_jax.data import annotations
from crab_jax.data import tasks
from crab_jax.synthetic import build
from crab_jax.synthetic import clips
from crab_jax.synthetic import occasions
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

_COUNT = 8
_TABLE = tasks.Tasks()


@pytest.fixture(scope="module")
def found():
  return occasions.draw(_COUNT, 3)


@pytest.fixture(scope="module")
def planned():
  return {row.name: occasions.plan(row, _COUNT, 3) for row in _TABLE.values()}


def test_every_set_asks_about_every_occasion(planned):
  assert {
    name: len(it.records) for name, it in planned.items()
  } == dict.fromkeys(_TABLE, _COUNT)


@pytest.mark.parametrize("name", _TABLE)
def test_records_have_the_keys_of_a_held_out_split(planned, name):
  for row, record in enumerate(planned[name].records):
    read = annotations.parse(_TABLE[name], tasks.UNIFIED, row, record)
    assert read.id == f"{name}/{tasks.UNIFIED}/{row}"
    assert json.loads(read.reference[tasks.FACTS]) == json.loads(
      record[tasks.FACTS]
    )
    assert bool(read.target) != _TABLE[name].has_test


def test_all_layouts_show_one_cast(found):
  for it in found:
    cast = {(t.name, t.colour, t.quarter) for t in clips.instruments(it.clip)}
    for scene in (it.film, it.still, it.turns, it.described):
      assert {(t.name, t.colour, t.quarter) for t in scene.things} == cast
    (alone,) = it.solo.things
    assert (alone.name, alone.colour, alone.quarter) in cast
    assert it.face.colour == clips.dancer(it.clip).colour
    assert all(t.side == scenes.STILL[t.name] for t in it.still.things)


def test_what_sounds_is_the_event(found):
  for it in found:
    name = it.event.thing.name
    assert it.still.sounds[0].name == it.turns.sounds[0].name == name
    assert it.described.sounds[0].name == it.solo.sounds[0].name == name


def test_facts_are_those_of_the_occasion(found, planned):
  for row, it in enumerate(found):
    said = {
      name: json.loads(own.records[row][tasks.FACTS])
      for name, own in planned.items()
    }
    event = {"instrument": it.event.thing.name}
    assert said["ks"] == said["ucf"] == event
    timed = event | {"time": list(it.event.span)}
    assert said["ave"] == said["unav"] == said["avvp"] == timed
    assert said["s4"] == said["arig"] == said["ms3"]
    assert len({json.dumps(said[n]) for n in ("meld", "mafw", "mer24")}) == 1
    assert planned["ave"].records[row]["event"] == it.event.thing.name


def test_the_sets_of_clips_get_one_film(planned):
  sights = [
    [job.content for job in planned[name].jobs if isinstance(job, plans.Video)]
    for name in ("ks", "ucf", "ave", "unav", "avvp", "avqa_thu", "avcap")
  ]
  assert all(own == sights[0] for own in sights)
  assert len(sights[0]) == _COUNT


def test_they_are_written_where_they_are_wanted(tmp_path, monkeypatch):
  monkeypatch.setattr(build, "_render", lambda *unused: None)
  world = configs.World(train_samples=4, val_samples=4, test_samples=4)
  counts = build.write(tmp_path / "without", world)
  assert all(tasks.UNIFIED not in own for own in counts.values())
  world = configs.World(
    train_samples=4,
    val_samples=4,
    test_samples=4,
    unified_samples=4,
    perception=True,
  )
  counts = build.write(tmp_path / "with", world)
  asked = [name for name, own in counts.items() if tasks.UNIFIED in own]
  assert sorted(asked) == sorted(_TABLE)
  path = tmp_path / "with" / build.FOLDER / "ks" / f"{tasks.UNIFIED}.json"
  assert len(json.loads(path.read_text())) == 4
