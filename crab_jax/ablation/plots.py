"""Pictures of a study of transfer: plain arrays in, a matplotlib Figure out."""

from typing import Any

import numpy as np
from matplotlib import figure

from crab_jax.array_types import Float

HELPS, HARMS = "#2a78b8", "#c8433f"
_INK, _GREY, _GRID = "#1f2430", "#8b93a1", "#e4e7ec"
_TARGETS = {"reasoning": "#2a78b8", "answer": "#e0902f"}


def _bare(axes) -> None:
  axes.spines[["top", "right"]].set_visible(False)
  axes.tick_params(colors=_INK, labelsize=8.5)


def gains(
  values: dict[str, Float[np.ndarray, "seeds tasks"]],
  names: list[str],
  families: list[str],
  unit: str,
) -> figure.Figure:
  """Diverging bars: the gain of every dataset, a panel a method.

  Args:
    values: method -> gains; bars are means over seeds, dots the seeds.
    names, families: of the datasets; those of a family stand together.
    unit: of the gains, for the axis.
  """
  order = list(dict.fromkeys(families))
  # A gap between two families.
  heights = np.arange(len(names)) + 0.6 * np.array(
    [order.index(family) for family in families]
  )
  drawn = figure.Figure(
    figsize=(1.3 + 1.65 * len(values), 1.3 + 0.27 * heights[-1]),
    layout="constrained",
  )
  panels = drawn.subplots(1, len(values), sharey=True, squeeze=False)[0]
  limit = 1.08 * max(max(np.abs(v).max() for v in values.values()), 1e-3)
  for axes, (method, found) in zip(panels, values.items(), strict=True):
    _bare(axes)
    means = found.mean(0)
    colours = [HELPS if mean > 0 else HARMS for mean in means]
    axes.barh(heights, means, 0.72, color=colours, zorder=2)
    if len(found) > 1:
      for row in found:
        axes.plot(row, heights, ".", ms=3.5, color=_INK, alpha=0.55, zorder=3)
    axes.axvline(0, color=_INK, lw=0.9, zorder=4)
    axes.set_xlim(-limit, limit)
    # Sums of scores differ in the last bits; such a difference is no gain.
    helped = int((np.round(means, 9) > 0).sum())
    axes.set_title(f"{method}\n{helped} of {len(names)} gain", fontsize=9)
    axes.grid(axis="x", color=_GRID, zorder=0)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
  panels[0].set_yticks(heights, names)
  panels[0].invert_yaxis()
  last = panels[-1]
  for family in order:
    own = [p for p, f in zip(heights, families, strict=True) if f == family]
    last.text(
      1.04,
      np.mean(own),
      family,
      transform=last.get_yaxis_transform(),
      va="center",
      fontsize=8,
      color=_GREY,
      style="italic",
    )
  drawn.supxlabel(unit, fontsize=9)
  return drawn


def shares(
  rows: dict[str, dict[str, list[tuple[float, float, float]]]],
  methods: list[str],
) -> figure.Figure:
  """Share of datasets that gain, with its interval, a panel a reading.

  Args:
    rows: panel title -> targets -> (value, low, high) of each method.
    methods: their names.
  """
  drawn = figure.Figure(
    figsize=(max(3.0 * len(rows), 5), 1.2 + 0.42 * len(methods)),
    layout="constrained",
  )
  panels = drawn.subplots(1, len(rows), sharey=True, squeeze=False)[0]
  heights = np.arange(len(methods))
  for axes, (title, kinds) in zip(panels, rows.items(), strict=True):
    _bare(axes)
    for i, (targets, found) in enumerate(kinds.items()):
      value, low, high = np.array(found).T
      at = heights + 0.24 * (i - (len(kinds) - 1) / 2)
      axes.hlines(at, low, high, color=_TARGETS[targets], lw=2.4, alpha=0.45)
      axes.plot(value, at, "o", ms=5.5, color=_TARGETS[targets], label=targets)
    axes.axvline(0.5, color=_GREY, lw=0.9, ls=":")
    axes.set_xlim(-0.03, 1.03)
    axes.set_title(title, fontsize=9.5)
    axes.grid(axis="x", color=_GRID)
    axes.set_axisbelow(True)
  panels[0].set_yticks(heights, methods)
  panels[0].invert_yaxis()
  handles: dict[str, Any] = {}
  for axes in panels:
    shown, names = axes.get_legend_handles_labels()
    handles.update(zip(names, shown, strict=True))
  drawn.legend(
    list(handles.values()),
    [f"targets: {name}" for name in handles],
    loc="outside upper left",
    ncols=2,
    frameon=False,
    fontsize=8.5,
  )
  drawn.supxlabel(
    "share of datasets with positive transfer, 95 % interval over seeds",
    fontsize=9,
  )
  return drawn


def table(
  values: Float[np.ndarray, "rows columns"],
  rows: list[str],
  columns: list[str],
  first_is_base: bool,
  title: str,
) -> figure.Figure:
  """A table of scores; cells are coloured by their distance from column one.

  Args:
    values: numbers, NaN where there is none.
    rows, columns: names.
    first_is_base: colour against the first column; False: against zero.
    title: what the numbers and the colours are.
  """
  base = values[:, :1] if first_is_base else np.zeros((len(rows), 1))
  away = values - base
  spread = max(float(np.nanmax(np.abs(away))), 1e-3)
  drawn = figure.Figure(
    figsize=(1.5 + 0.78 * len(columns), 0.9 + 0.28 * len(rows)),
    layout="constrained",
  )
  axes = drawn.add_subplot()
  axes.imshow(away, cmap="RdBu", vmin=-spread, vmax=spread, aspect="auto")
  for (row, column), value in np.ndenumerate(values):
    if np.isnan(value):
      continue
    dark = abs(away[row, column]) > 0.65 * spread
    text = f"{value:.2f}" if first_is_base else f"{value:+.2f}"
    colour = "white" if dark else _INK
    axes.text(
      column, row, text, ha="center", va="center", fontsize=8, color=colour
    )
  axes.set_xticks(range(len(columns)), columns, rotation=30, ha="left")
  axes.xaxis.tick_top()
  axes.set_yticks(range(len(rows)), rows)
  axes.tick_params(length=0, labelsize=8.5)
  axes.spines[:].set_visible(False)
  drawn.supxlabel(title, fontsize=9)
  return drawn


def dumbbells(
  before: Float[np.ndarray, "n"],
  after: Float[np.ndarray, "n"],
  names: list[str],
  labels: tuple[str, str],
  unit: str,
) -> figure.Figure:
  """Two numbers of every dataset, joined by a line."""
  drawn = figure.Figure(
    figsize=(5.6, 1.2 + 0.27 * len(names)), layout="constrained"
  )
  axes = drawn.add_subplot()
  _bare(axes)
  heights = np.arange(len(names))
  colours = [
    HELPS if b > a else HARMS for a, b in zip(before, after, strict=True)
  ]
  axes.hlines(heights, before, after, color=colours, lw=2, alpha=0.5)
  axes.plot(
    before, heights, "o", ms=5, color=_TARGETS["answer"], label=labels[0]
  )
  axes.plot(
    after, heights, "o", ms=5, color=_TARGETS["reasoning"], label=labels[1]
  )
  axes.set_yticks(heights, names)
  axes.invert_yaxis()
  axes.grid(axis="x", color=_GRID)
  axes.set_axisbelow(True)
  axes.set_xlabel(unit, fontsize=9)
  drawn.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8.5)
  return drawn


def scatter(
  x: Float[np.ndarray, "n"],
  y: Float[np.ndarray, "n"],
  names: list[str],
  labels: tuple[str, str],
  title: str,
) -> figure.Figure:
  """Points with names; a line at y = 0."""
  drawn = figure.Figure(figsize=(6, 4.2), layout="constrained")
  axes = drawn.add_subplot()
  _bare(axes)
  colours = [HELPS if value > 0 else HARMS for value in y]
  axes.scatter(x, y, s=26, c=colours, zorder=3)
  points = sorted(zip(x, y, names, strict=True))
  for number, (a, b, name) in enumerate(points):
    # Neighbours in a row take turns above and below.
    up = 1 if number % 2 else -1
    axes.annotate(
      name,
      (a, b),
      xytext=(0, 7 * up),
      textcoords="offset points",
      ha="center",
      va="bottom" if up > 0 else "top",
      fontsize=6.5,
      color=_GREY,
    )
  axes.axhline(0, color=_INK, lw=0.9)
  axes.grid(color=_GRID)
  axes.set_axisbelow(True)
  axes.margins(0.12)
  axes.set_xlabel(labels[0], fontsize=9)
  axes.set_ylabel(labels[1], fontsize=9)
  axes.set_title(title, fontsize=10)
  return drawn
