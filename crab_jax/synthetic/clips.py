"""The scene of a clip: who moves, what plays in view, what is heard.

All sets of clips of ten seconds draw their scenes here and differ in what they
ask: a dancer moves; two instruments play in view one after the other; two sounds
are heard. One or both instruments are heard as well as seen (`events`); a sound
that is none of theirs comes from outside the frame. What is seen and what is
heard of an event begin and end at different seconds.

So neither modality knows which instrument is an event, or its span. Spans are
half-open: (2, 5) is the seconds 2, 3 and 4.
"""

import dataclasses

import numpy as np

from crab_jax.synthetic import attributes
from crab_jax.synthetic import phrasing
from crab_jax.synthetic import scenes

SECONDS = 10
_BOTH = 0.3  # share of the scenes in which both instruments are heard
Span = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Event:
  """An instrument in view that is heard."""

  thing: scenes.Thing
  seen: Span
  heard: Span

  @property
  def span(self) -> Span:
    """While it is both seen and heard."""
    return max(self.seen[0], self.heard[0]), min(self.seen[1], self.heard[1])


def scene(
  rng: np.random.Generator,
  split: str,
  name: str | None = None,
  motion: str | None = None,
) -> scenes.Scene:
  """A scene.

  Args:
    rng: source of all choices.
    split: held-out combinations appear only where it is "test".
    name: the instrument of the first event; None: drawn.
    motion: of the dancer; None: drawn.
  """
  name = name or attributes.choose(rng, attributes.INSTRUMENTS)
  second, unseen = scenes.others(rng, [name])[:2]
  both = rng.random() < _BOTH
  pairs = [(name, name), (second, second if both else unseen)]
  if not both and rng.random() < 0.5:
    pairs.reverse()
  seen, heard = _spans(rng)
  things = {t.name: t for t in scenes.arrange(rng, split, (name, second))}
  shown = tuple(
    dataclasses.replace(things[sight], spans=(span,))
    for (sight, _), span in zip(pairs, seen, strict=True)
  )
  motion = motion or attributes.choose(rng, attributes.MOTIONS)
  return scenes.scene(
    rng,
    SECONDS,
    (*shown, _dancer(rng, split, shown, motion)),
    tuple(
      scenes.Sound(sound, *span)
      for (_, sound), span in zip(pairs, heard, strict=True)
    ),
  )


def events(found: scenes.Scene) -> list[Event]:
  """What is both seen and heard, in order of time; at least one."""
  heard = {sound.name: (sound.start, sound.end) for sound in found.sounds}
  return [
    Event(thing, thing.spans[0], heard[thing.name])
    for thing in instruments(found)
    if thing.name in heard
  ]


def instruments(found: scenes.Scene) -> tuple[scenes.Thing, ...]:
  """The instruments in view, in order of time."""
  return tuple(t for t in found.things if t.name != scenes.DANCER)


def dancer(found: scenes.Scene) -> scenes.Thing:
  return next(t for t in found.things if t.name == scenes.DANCER)


def said(style: phrasing.Style, found: scenes.Scene) -> str:
  """What plays in view and what is heard, the last full stop left out."""
  seen = phrasing.join([phrasing.a(it.name) for it in instruments(found)])
  heard = phrasing.join([phrasing.a(sound.name) for sound in found.sounds])
  return f"{style.sight} {seen}. {style.hearing} {heard}"


def _dancer(rng, split: str, shown, motion: str) -> scenes.Thing:
  """A dancer in a quarter and a colour that no instrument has."""
  wanted = attributes.wants_held_out(rng, split)
  quarters, colours = (
    [it for it in options if it not in used]
    for options, used in (
      (attributes.QUARTERS, [thing.quarter for thing in shown]),
      (attributes.COLOURS, [thing.colour for thing in shown]),
    )
  )
  usual = [c for c in colours if not attributes.held_out_motion(motion, c)]
  return scenes.Thing(
    scenes.DANCER,
    attributes.choose(rng, colours if wanted else usual),
    attributes.choose(rng, quarters),
    motion=motion,
    spotlight=True,
  )


def _spans(rng: np.random.Generator) -> tuple[list[Span], list[Span]]:
  """Spans of two events in turn, as seen and as heard.

  Sight and hearing share two or three seconds; one of them begins one or two
  seconds early, one of them (perhaps the same) ends one or two seconds late.
  """
  while True:
    lengths = rng.integers((2, 1, 1), (4, 3, 3), (2, 3))
    free = SECONDS - int(lengths.sum())
    if free >= 0:
      break
  start, seen, heard = 0, [], []
  for shared, early, late in lengths.tolist():
    pause = int(rng.integers(free + 1))
    free -= pause
    start += pause + early
    spans = [[start, start + shared], [start, start + shared]]
    spans[int(rng.integers(2))][0] -= early
    spans[int(rng.integers(2))][1] += late
    start += shared + late
    seen.append((spans[0][0], spans[0][1]))
    heard.append((spans[1][0], spans[1][1]))
  return seen, heard
