"""A page of scenes that every task asks about: one scene, all its answers."""

import dataclasses
from collections.abc import Callable

from crab_jax.evaluation import unified
from crab_jax.evaluation.report import cards
from crab_jax.evaluation.report import page

_SHOWN = 4  # scenes; each embeds the media of every layout


@dataclasses.dataclass(frozen=True)
class Shown:
  """One scene: (task, its card); the media of a layout are in its first card."""

  number: int
  cards: list[tuple[str, cards.Card]]


def render(found: unified.Unified, lookup: Callable | None) -> str:
  """The whole page.

  Args:
    found: the answers and what was measured.
    lookup: id -> record, for the media; None: there are none.
  """
  scenes = list(unified.by_scene(found.scores).items())[:_SHOWN]
  return (
    page.environment()
    .get_template("unified.html.jinja")
    .render(
      said=found.summary,
      scenes=[_scene(number, rows, found, lookup) for number, rows in scenes],
    )
  )


def _scene(number: int, rows, found: unified.Unified, lookup) -> Shown:
  shown, layouts = [], set()
  for name, row in rows:
    task = found.scores[name].definition
    made = cards.card(task, "", row, lookup(row["id"]) if lookup else None)
    layout = task.visual, task.frames, task.window, task.media
    if layout in layouts:
      # A picture has the boxes of its own answer; a clip is shown once.
      picture = made.picture if task.visual == "image" else None
      made = dataclasses.replace(made, picture=picture, sound=None)
    layouts.add(layout)
    shown.append((name, made))
  return Shown(number, shown)
