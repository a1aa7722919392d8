"""Pictures of the routers: plain arrays in, a matplotlib Figure out."""

import numpy as np
from matplotlib import figure

from crab_jax import array_types as at
from crab_jax import plotting
from crab_jax.data import tasks

_GRID = "#e4e7ec"
_KIND_COLOURS = {
  at.TokenKind.TEXT: "#c3c9d3",
  at.TokenKind.VISION: "#3a7d44",
  at.TokenKind.AUDIO: "#8f2d56",
  at.TokenKind.ANSWER: "#1f2430",
}


def grid(
  values: at.Float[np.ndarray, "rows columns"],
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
  # Equal values would have no range of colours.
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
      color=plotting.INK if bright else "white",
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
  points: at.Float[np.ndarray, "n 2"],
  families: list[str],
  explained: at.Float[np.ndarray, "2"],
) -> figure.Figure:
  """Samples by their gates, coloured by family.

  Args:
    points: of `router_report.embed`.
    families: of each sample.
    explained: share of the variance on each axis.
  """
  drawn = figure.Figure(figsize=(6.4, 4.6), layout="constrained")
  axes = drawn.add_subplot()
  axes.spines[["top", "right"]].set_visible(False)
  for family in sorted(set(families), key=tasks.family_order):
    own = points[np.array(families) == family]
    colour = plotting.colour(tasks.family_order(family)[0])
    x, y = own.T
    axes.scatter(x, y, s=15, color=colour, alpha=0.75, lw=0, label=family)
  axes.axhline(0, color=_GRID, lw=0.8, zorder=0)
  axes.axvline(0, color=_GRID, lw=0.8, zorder=0)
  axes.set_xlabel(f"first component ({explained[0]:.0%} of the variance)")
  axes.set_ylabel(f"second component ({explained[1]:.0%})")
  axes.tick_params(labelsize=8)
  axes.set_title("mean gates of held-out samples", fontsize=10)
  drawn.legend(loc="outside right upper", frameon=False, fontsize=8.5)
  return drawn


def mean_gates(
  gates: np.ndarray, names: list[str], title: str = ""
) -> figure.Figure:
  """Heat map of the mean gate of each task (rows) on each head (columns).

  Args:
    gates: float[tasks, heads], or [layers, modules, tasks, heads], whose
      mean over layers and modules is shown. A row of NaN is a task unseen.
    names: of the tasks.
  """
  gates = np.asarray(gates, float)
  if gates.ndim > 2:
    seen = np.ma.masked_invalid(gates)
    gates = seen.mean(axis=tuple(range(gates.ndim - 2))).filled(np.nan)
  heads = gates.shape[1]
  drawn, axes = plotting.axes_of(1.5 + 0.56 * heads, 0.8 + 0.25 * len(names))
  # Colours are centred at 1 / heads, the gate of a router that decides nothing.
  spread = max(float(np.nanmax(np.abs(gates - 1 / heads))), 1e-3)
  image = axes.imshow(
    gates,
    cmap="RdBu_r",
    vmin=1 / heads - spread,
    vmax=1 / heads + spread,
    aspect="auto",
  )
  axes.set_xticks(range(heads), [f"head {i + 1}" for i in range(heads)])
  axes.set_yticks(range(len(names)), names)
  for (row, column), gate in np.ndenumerate(gates):
    if np.isnan(gate):
      continue
    far = abs(gate - 1 / heads) > 0.6 * spread
    axes.text(
      column,
      row,
      f"{gate:.2f}",
      ha="center",
      va="center",
      fontsize=7.5,
      color="white" if far else plotting.INK,
    )
  axes.spines[:].set_visible(False)
  axes.tick_params(length=0)
  axes.set_title(title, fontsize=10)
  bar = drawn.colorbar(image, ax=axes, shrink=0.6, aspect=30)
  bar.ax.tick_params(labelsize=8, length=2)
  return drawn


def gate_panels(
  gates: at.Float[np.ndarray, "panels P groups E"],
  groups: list[str],
  projections: list[str],
  titles: list[str],
  title: str,
) -> figure.Figure:
  """Mean gates of groups of tokens (rows) on every projection's heads.

  A panel a group of layers, in it the projections side by side, in them the
  heads. Head 1 of one projection has nothing to do with that of another.

  Args:
    gates: NaN where there was no token.
    groups, projections, titles: names of rows, of columns, of panels.
    title: of the picture.
  """
  count, wide, rows, heads = gates.shape
  spread = max(float(np.nanmax(np.abs(gates - 1 / heads))), 1e-3)
  drawn = figure.Figure(
    figsize=(2.0 + 0.13 * count * (wide * heads + 2), 1.7 + 0.2 * rows),
    layout="constrained",
  )
  panels = drawn.subplots(1, count, sharey=True, squeeze=False)[0]
  for axes, values, name in zip(panels, gates, titles, strict=True):
    image = axes.imshow(
      # [P, groups, E] -> [groups, P * E]
      values.transpose(1, 0, 2).reshape(rows, -1),
      cmap="RdBu_r",
      vmin=1 / heads - spread,
      vmax=1 / heads + spread,
      aspect="auto",
    )
    for edge in heads * np.arange(1, wide) - 0.5:
      axes.axvline(edge, color=plotting.INK, lw=0.8)
    middles = heads * np.arange(wide) + (heads - 1) / 2
    axes.set_xticks(middles, projections, rotation=45, ha="right")
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_title(name, fontsize=9)
  panels[0].set_yticks(range(rows), groups)
  drawn.suptitle(title, fontsize=10)
  bar = drawn.colorbar(image, ax=list(panels), aspect=30)
  bar.ax.tick_params(labelsize=7.5, length=2)
  bar.outline.set_visible(False)
  return drawn


def gates_along(
  gates: np.ndarray, kinds: np.ndarray, title: str = ""
) -> figure.Figure:
  """The share of each head at every token of one sequence.

  Args:
    gates: float[T, E]; rows sum to 1.
    kinds: uint8[T], `array_types.TokenKind`; a strip under the shares.
    title: of the plot.
  """
  tokens, heads = gates.shape
  drawn, axes = plotting.axes_of(8.4, 2.8)
  edges = np.arange(tokens + 1)
  shares = np.concatenate([gates, gates[-1:]]).T  # the last token has a width
  axes.stackplot(
    edges,
    shares,
    step="post",
    colors=[
      plotting.COLOURS[head % len(plotting.COLOURS)] for head in range(heads)
    ],
    labels=[f"head {head + 1}" for head in range(heads)],
  )
  for head in range(1, heads):
    axes.axhline(head / heads, color="white", lw=0.8, ls=":")
  for kind in at.TokenKind:
    if np.any(kinds == kind):
      axes.broken_barh(
        [(int(token), 1) for token in np.flatnonzero(kinds == kind)],
        (-0.09, 0.06),
        color=_KIND_COLOURS[kind],
        label=kind.name.lower(),
        lw=0,
      )
  axes.set_xlim(0, tokens)
  axes.set_ylim(-0.1, 1)
  axes.set_yticks([0, 0.5, 1])
  axes.set_xlabel("token")
  axes.set_ylabel("mean gate")
  axes.set_title(title, fontsize=10)
  axes.legend(
    loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8
  )
  return drawn
