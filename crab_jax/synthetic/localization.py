"""Event localisation: what happens from when to when, in whole seconds.

  ave   the first instrument that is both seen and heard, and while both hold
  unav  all of them, one or two
  avvp  what is seen and what is heard apart, `<visual>` and `<audio>`; each
        modality has its half

Neither modality knows the first two: see `clips`.
"""

from crab_jax.data import tasks
from crab_jax.synthetic import attributes
from crab_jax.synthetic import clips
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import plans
from crab_jax.synthetic import scenes


def plan(task: tasks.Task, split: str, count: int, seed: int) -> plans.Plan:
  """One clip a record; the instruments of ave and avvp take turns."""
  rng = attributes.generator(seed, task.name, split)
  if task.name == "unav":
    pool = events_pool(split, count, seed)
  else:
    order = attributes.shuffled(rng, attributes.INSTRUMENTS)
    pool = [
      clips.scene(rng, split, order[i % len(order)]) for i in range(count)
    ]
  out = plans.Plan()
  for row, scene in enumerate(pool):
    add(out, rng, task, split, row, scene)
  return out


def events_pool(split: str, count: int, seed: int) -> list[scenes.Scene]:
  """The scenes that unav and avcap share."""
  rng = attributes.generator(seed, "events", split)
  return [clips.scene(rng, split) for _ in range(count)]


def add(out, rng, task: tasks.Task, split: str, row: int, scene) -> None:
  """Adds the record of a scene of `clips`."""
  name = f"{split}_{row:04d}"
  video, audio = f"{name}.mp4", f"{name}.mp3"
  out.add_clip(scene, task.name, video, audio)
  said, answer, target = _SETS[task.name](phrasing.style(rng), scene)
  record = {"video_path": video, "audio_path": audio, "vid": name, **said}
  if task.name == "avvp":
    record["filename"] = video
  if not (tasks.is_test(split) and task.has_test):
    record["label_content"] = target
  out.add(
    record,
    answer=answer,
    question="",
    sight=scenes.sight(scene.things),
    hearing=scenes.hearing(scene.sounds),
    held_out=any(thing.held_out for thing in scene.things),
  )


def block(tag: str, name: str, span: clips.Span) -> str:
  """`<event>drum, (2 5)</event>`."""
  return f"<{tag}>{name}, ({span[0]} {span[1]})</{tag}>"


def span_words(span: clips.Span) -> str:
  return f"from {span[0]} to {span[1]}"


def _met(event: clips.Event) -> str:
  """When an event is seen and heard: what its span follows from."""
  return (
    f"the {event.thing.name} is seen {span_words(event.seen)} and heard"
    f" {span_words(event.heard)}"
  )


def _target(style, scene: scenes.Scene, events: list[clips.Event]) -> str:
  found = phrasing.join([_met(event) for event in events])
  blocks = " ".join(block("event", e.thing.name, e.span) for e in events)
  return (
    f"{clips.said(style, scene)}. {found[0].upper()}{found[1:]},"
    f" {style.hence} {blocks}."
  )


def _ave(style, scene: scenes.Scene) -> tuple[dict, object, str]:
  """The keys of a record, its answer and its target."""
  event, *_ = clips.events(scene)
  start, end = event.span
  said = {"event": event.thing.name, "start_time": start, "end_time": end}
  return said, event.span, _target(style, scene, [event])


def _unav(style, scene: scenes.Scene) -> tuple[dict, object, str]:
  events = clips.events(scene)
  label = [
    {"label": event.thing.name, "start": event.span[0], "end": event.span[1]}
    for event in events
  ]
  blocks = " ".join(block("event", e.thing.name, e.span) for e in events)
  return {"original_label": label}, blocks, _target(style, scene, events)


def _avvp(style, scene: scenes.Scene) -> tuple[dict, object, str]:
  things = clips.instruments(scene)
  blocks = [
    *(block("visual", thing.name, thing.spans[0]) for thing in things),
    *(block("audio", s.name, (s.start, s.end)) for s in scene.sounds),
  ]
  answer = " ".join(blocks)
  target = f"{clips.said(style, scene)}, {style.hence} {answer}."
  return {"event": answer}, answer, target


_SETS = {"ave": _ave, "unav": _unav, "avvp": _avvp}
