"""Event localisation: what happens from when to when, in whole seconds.

  ave   one instrument; it plays in view for a while and is heard for another
        while. The event is where both hold, so neither modality knows it.
  unav  two instruments play in view one after the other; a sound may be that
        of another, unseen one. Only what is seen and heard is an event.
  avvp  what is seen and what is heard are separate, `<visual>` and `<audio>`;
        each modality has its half.

Intervals are half-open: (2 5) is the seconds 2, 3 and 4.
"""

import dataclasses

import numpy as np

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes

SECONDS = 10


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One clip a record."""
  if task.name == "unav":
    return _plan_unav(task, split, count, seed)
  rng = attributes.generator(seed, task.name, split)
  out = plans.Plan()
  names, take = _turns(rng, count), scenes.solo_take(seed, split)
  for row in range(count):
    add = _add_ave if task.name == "ave" else _add_avvp
    add(out, rng, split, row, names[row], take)
  return out


def _turns(rng: np.random.Generator, count: int) -> list[str]:
  """The instruments in turn."""
  order = attributes.shuffled(rng, attributes.INSTRUMENTS)
  return [order[i % len(order)] for i in range(count)]


def block(tag: str, name: str, span: tuple[int, int]) -> str:
  """`<event>drum, (2 5)</event>`."""
  return f"<{tag}>{name}, ({span[0]} {span[1]})</{tag}>"


def span_words(span: tuple[int, int]) -> str:
  return f"from {span[0]} to {span[1]}"


def _crossing_spans(rng: np.random.Generator):
  """Two spans that share two to four seconds and differ at both ends."""
  while True:
    start = int(rng.integers(0, SECONDS - 1))
    end = start + int(rng.integers(2, 5))
    early, late = (int(v) for v in rng.integers(1, 4, 2))
    spans = [[start, end], [start, end]]
    spans[int(rng.integers(2))][0] -= early
    spans[int(rng.integers(2))][1] += late
    if (
      min(min(s) for s in spans) >= 0 and max(max(s) for s in spans) <= SECONDS
    ):
      return (start, end), tuple(spans[0]), tuple(spans[1])


def _media(out, task: str, split: str, row: int, scene) -> dict:
  """Adds the clip of a record; the record's media keys."""
  name = f"{split}_{row:04d}"
  video, audio = f"{name}.mp4", f"{name}.mp3"
  out.add_clip(scene, task, video, audio)
  return {"video_path": video, "audio_path": audio, "vid": name}


def _add_ave(out, rng, split, row, name, take) -> None:
  both, seen, heard = _crossing_spans(rng)
  (thing,) = scenes.arrange(rng, split, (name,))
  thing = dataclasses.replace(thing, spans=(seen,))
  sounds = (scenes.Sound(name, *heard),)
  scene = scenes.scene(rng, SECONDS, (thing,), sounds, take)
  record = _media(out, "ave", split, row, scene)
  record |= {"event": name, "start_time": both[0], "end_time": both[1]}
  if split != "test":
    style = phrasing.style(rng)
    record["label_content"] = (
      f"{style.sight} {phrasing.a(thing.colour)} {name} that plays"
      f" {span_words(seen)}. {style.hearing} a {name} {span_words(heard)}."
      f" Both agree {span_words(both)}, {style.hence}"
      f" {block('event', name, both)}."
    )
  out.add(
    record,
    answer=both,
    question="",
    sight=scenes.sight(scene.things),
    hearing=scenes.hearing(sounds),
    held_out=thing.held_out,
  )


def _add_avvp(out, rng, split, row, name, take) -> None:
  (thing,) = scenes.arrange(rng, split, (name,))
  spans = []
  for _ in range(2):
    length = int(rng.integers(3, 8))
    start = int(rng.integers(0, SECONDS - length + 1))
    spans.append((start, start + length))
  heard = name if rng.random() < 0.5 else scenes.others(rng, [name])[0]
  thing = dataclasses.replace(thing, spans=(spans[0],))
  sounds = (scenes.Sound(heard, *spans[1]),)
  scene = scenes.scene(rng, SECONDS, (thing,), sounds, take)
  record = _media(out, "avvp", split, row, scene)
  visual = block("visual", name, spans[0])
  audio = block("audio", heard, spans[1])
  record |= {"filename": record["video_path"], "event": f"{visual} {audio}"}
  if split != "test":
    style = phrasing.style(rng)
    record["label_content"] = (
      f"{style.sight} {phrasing.a(thing.colour)} {name} that plays"
      f" {span_words(spans[0])}. {style.hearing} a {heard}"
      f" {span_words(spans[1])}, {style.hence} {visual} {audio}."
    )
  out.add(
    record,
    answer=record["event"],
    question="",
    sight=scenes.sight(scene.things),
    hearing=scenes.hearing(sounds),
    held_out=thing.held_out,
  )


def _two_spans(rng: np.random.Generator):
  """Two spans of two to four seconds, one after the other."""
  while True:
    starts = sorted(int(v) for v in rng.integers(0, SECONDS - 1, 2))
    lengths = rng.integers(2, 5, 2)
    spans = [(s, s + int(n)) for s, n in zip(starts, lengths, strict=True)]
    if spans[0][1] <= spans[1][0] and spans[1][1] <= SECONDS:
      return spans


def events_scene(rng: np.random.Generator, split: str) -> scenes.Scene:
  """Two instruments play in turn; in half of the scenes one is not heard.

  Another instrument, that is not in view, is heard instead of it.
  """
  names = scenes.instruments(rng, 2)
  spans = _two_spans(rng)
  things = {t.name: t for t in scenes.arrange(rng, split, names)}
  heard = list(names)
  if rng.random() < 0.5:
    heard[int(rng.integers(2))] = scenes.others(rng, names)[0]
  return scenes.scene(
    rng,
    SECONDS,
    tuple(
      dataclasses.replace(things[name], spans=(span,))
      for name, span in zip(names, spans, strict=True)
    ),
    tuple(
      scenes.Sound(name, *span) for name, span in zip(heard, spans, strict=True)
    ),
  )


def events_pool(split: str, count: int, seed: int) -> list[scenes.Scene]:
  """The scenes that unav and avcap share."""
  rng = attributes.generator(seed, "events", split)
  return [events_scene(rng, split) for _ in range(count)]


def events(scene: scenes.Scene) -> list[tuple[str, tuple[int, int]]]:
  """What is both seen and heard, in order of time."""
  return [
    (thing.name, thing.spans[0])
    for thing, sound in zip(scene.things, scene.sounds, strict=True)
    if thing.name == sound.name
  ]


def _plan_unav(task, split, count, seed) -> plans.Plan:
  rng = attributes.generator(seed, task.name, split)
  out = plans.Plan()
  for row, scene in enumerate(events_pool(split, count, seed)):
    record = _media(out, "unav", split, row, scene)
    found = events(scene)
    blocks = " ".join(block("event", *event) for event in found)
    record["original_label"] = [
      {"label": name, "start": span[0], "end": span[1]} for name, span in found
    ]
    record["label_content"] = _unav_target(phrasing.style(rng), scene, blocks)
    out.add(
      record,
      answer=blocks,
      question="",
      sight=scenes.sight(scene.things),
      hearing=scenes.hearing(scene.sounds),
      held_out=any(thing.held_out for thing in scene.things),
    )
  return out


def _unav_target(style, scene: scenes.Scene, blocks: str) -> str:
  seen = phrasing.join(
    [f"a {t.name} {span_words(t.spans[0])}" for t in scene.things]
  )
  heard = phrasing.join(
    [f"a {s.name} {span_words((s.start, s.end))}" for s in scene.sounds]
  )
  names = [name for name, _ in events(scene)]
  fit = "Both agree" if len(names) == 2 else f"The {names[0]} agrees"
  return (
    f"{style.sight} {seen}. {style.hearing} {heard}. {fit},"
    f" {style.hence} {blocks}."
  )
