"""Pictures of the routers: plain arrays in, a matplotlib Figure out."""

import numpy as np
from matplotlib import figure

from crab_jax.array_types import Float
from crab_jax.data import tasks
from crab_jax.evaluation import plots

_INK, _GRID = "#1f2430", "#e4e7ec"


def grid(
  values: Float[np.ndarray, "rows columns"],
  rows: list[str],
  columns: list[str],
  title: str,
  limits: tuple[float, float] | None = None,
) -> figure.Figure:
  """A heat map with its numbers; NaN stays empty.

  Args:
    values: numbers.
    rows, columns: names.
    title: what they are.
    limits: of the colours; None: the range of the values.
  """
  low, high = limits or (float(np.nanmin(values)), float(np.nanmax(values)))
  high = max(high, low + 1e-9)
  drawn = figure.Figure(
    figsize=(1.9 + 0.52 * len(columns), 1.3 + 0.27 * len(rows)),
    layout="constrained",
  )
  axes = drawn.add_subplot()
  image = axes.imshow(
    values, cmap="viridis", vmin=low, vmax=high, aspect="auto"
  )
  for (row, column), value in np.ndenumerate(values):
    if np.isnan(value):
      continue
    bright = value > low + 0.55 * (high - low)
    axes.text(
      column,
      row,
      f"{value:.2f}",
      ha="center",
      va="center",
      fontsize=6.5,
      color=_INK if bright else "white",
    )
  axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
  axes.set_yticks(range(len(rows)), rows)
  axes.tick_params(length=0, labelsize=8)
  axes.spines[:].set_visible(False)
  axes.set_title(title, fontsize=10)
  bar = drawn.colorbar(image, ax=axes, shrink=0.7, aspect=30)
  bar.ax.tick_params(labelsize=7.5, length=2)
  bar.outline.set_visible(False)
  return drawn


def embedding(
  points: Float[np.ndarray, "n 2"],
  names: list[str],
  explained: Float[np.ndarray, "2"],
) -> figure.Figure:
  """Samples by their gates, coloured by family.

  Args:
    points: of `routing.embed`.
    names: the dataset of each sample.
    explained: share of the variance on each axis.
  """
  drawn = figure.Figure(figsize=(6.4, 4.6), layout="constrained")
  axes = drawn.add_subplot()
  axes.spines[["top", "right"]].set_visible(False)
  families = np.array([tasks.BY_NAME[name].family for name in names])
  for colour, family in zip(plots.COLOURS, tasks.FAMILIES, strict=True):
    own = points[families == family]
    if len(own):
      axes.scatter(*own.T, s=15, color=colour, alpha=0.75, lw=0, label=family)
  axes.axhline(0, color=_GRID, lw=0.8, zorder=0)
  axes.axvline(0, color=_GRID, lw=0.8, zorder=0)
  axes.set_xlabel(f"first component ({explained[0]:.0%} of the variance)")
  axes.set_ylabel(f"second component ({explained[1]:.0%})")
  axes.tick_params(labelsize=8)
  axes.set_title("mean gates of held-out samples", fontsize=10)
  drawn.legend(loc="outside right upper", frameon=False, fontsize=8.5)
  return drawn
