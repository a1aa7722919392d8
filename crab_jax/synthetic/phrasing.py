"""The language of the world: short sentences in a fixed order.

A target says what is seen, what is heard, how they fit, and hence the answer,
in one of three phrasings; what is heard comes first where the sound says which thing in
the frames is asked about. Words are few: a target has 12 to 40 of them.
"""

import dataclasses

import numpy as np

from crab_jax.synthetic import attributes


@dataclasses.dataclass(frozen=True)
class Style:
  """One way to say it."""

  sight: str  # begins the sentence of what is seen
  hearing: str  # begins the sentence of what is heard
  hence: str  # leads to the answer


STYLES = (
  Style("I see", "I hear", "so"),
  Style("There is", "The sound is", "thus"),
  Style("In view is", "In the audio is", "hence"),
)


def style(rng: np.random.Generator) -> Style:
  return attributes.choose(rng, STYLES)


def a(words: str) -> str:
  """The words with their indefinite article."""
  return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def join(parts) -> str:
  """x; x and y; x, y and z."""
  *most, last = parts
  return f"{', '.join(most)} and {last}" if most else last


def coloured(it) -> str:
  """A thing with its colour."""
  return f"{a(it.colour)} {it.name}"


def thing(it) -> str:
  """A thing with its colour and quarter of the frame."""
  return f"{coloured(it)} {it.quarter}"


def found(it) -> str:
  """A thing without its colour: what an answer repeats."""
  return f"the {it.name} {it.quarter}"


def perceived(style: Style, things, heard: list[str], modality: str) -> str:
  """The sentences of what is seen and heard, as far as it is asked about."""
  sentences = []
  if "Visual" in modality:
    sentences.append(f"{style.sight} {join([thing(it) for it in things])}.")
  if "Audio" in modality:
    sentences.append(f"{style.hearing} {', then '.join(heard)}.")
  return " ".join(sentences)


def verdict(fits: bool) -> str:
  """Said right after a name: whether its other half was found."""
  return "yes" if fits else "no"


def answer(text) -> str:
  return f"<answer>{text}</answer>"


def box(values) -> str:
  """[x1,y1,x2,y2], or [x,y] of a point."""
  return "[" + ",".join(str(value) for value in values) + "]"
