"""Plots of scores and losses: plain arrays in, a matplotlib Figure out.

`plotting.png` renders one.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import figure

from crab_jax import plotting


def score_against_chance(
  names: list[str],
  values: np.ndarray,
  chances: np.ndarray,
  families: list[str],
  anchors: dict[str, list[float | None]] | None = None,
  base_alone: Sequence[float | None] = (),
) -> figure.Figure:
  """Bars of scores, a mark at chance on each, dots at published numbers.

  Args:
    names: of the tasks, in the order shown.
    values, chances: float[n], the primary metric in [0, 1].
    families: of each task; tasks of a family are next to each other.
    anchors: model -> its number for each task, None where unknown.
    base_alone: of each task the score without the adapter, None where
      unknown; drawn as a light bar before the score's.
  """
  drawn, axes = plotting.axes_of(max(6.0, 0.52 * len(names) + 1.5), 3.9)
  order = list(dict.fromkeys(families))
  centres = np.arange(len(names)) + 0.5 * np.array(
    [order.index(family) for family in families]
  )
  colours = [
    plotting.COLOURS[order.index(f) % len(plotting.COLOURS)] for f in families
  ]
  axes.bar(centres, values, 0.72, color=colours, zorder=2)
  _light_bars(axes, centres, base_alone)
  for centre, chance in zip(centres, chances, strict=True):
    axes.plot(
      [centre - 0.44, centre + 0.44],
      [chance] * 2,
      color=plotting.INK,
      lw=2.2,
      zorder=3,
    )
  for centre, value, chance in zip(centres, values, chances, strict=True):
    near = value < chance < value + 0.06  # the mark would strike it through
    axes.text(
      centre,
      (chance if near else value) + 0.012,
      f"{value:.2f}",
      ha="center",
      fontsize=8,
      color=plotting.INK,
    )
  _anchor_dots(axes, centres, anchors or {})
  axes.plot(
    [], [], color=plotting.INK, lw=2.2, label="chance (best blind guess)"
  )
  axes.set_xticks(centres, names, rotation=38, ha="right")
  axes.set_ylim(0, 1.08)
  axes.set_ylabel("primary metric")
  axes.grid(axis="y", color="#e4e7ec", zorder=0)
  _family_names(axes, centres, families)
  axes.legend(
    loc="upper left",
    bbox_to_anchor=(0, 1.17),
    frameon=False,
    fontsize=9,
    ncols=4,
  )
  return drawn


def _light_bars(axes, centres, base_alone) -> None:
  known = [
    (c, v) for c, v in zip(centres, base_alone, strict=False) if v is not None
  ]
  if known:
    axes.bar(
      *zip(*known, strict=True),
      0.34,
      color="white",
      alpha=0.72,
      edgecolor=plotting.GREY,
      lw=0.6,
      zorder=2.5,
      label="base alone, without its adapter",
    )


def _anchor_dots(axes, centres, anchors) -> None:
  markers = "oDs^"
  for i, (model, numbers) in enumerate(anchors.items()):
    known = [
      (p, n) for p, n in zip(centres, numbers, strict=True) if n is not None
    ]
    if known:
      axes.scatter(
        *zip(*known, strict=True),
        marker=markers[i % 4],
        s=26,
        color="white",
        edgecolor=plotting.INK,
        zorder=4,
        label=model,
      )


def _family_names(axes, centres, families) -> None:
  """The family's name over its tasks."""
  for family in dict.fromkeys(families):
    own = [p for p, f in zip(centres, families, strict=True) if f == family]
    axes.text(
      np.mean(own),
      1.065,
      family,
      ha="center",
      va="bottom",
      fontsize=8,
      color=plotting.GREY,
      style="italic",
    )


def loss_by_stage(
  curves: dict[str, tuple[np.ndarray, np.ndarray]],
  held_out: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> figure.Figure:
  """The training loss, one panel a stage, raw and smoothed.

  Args:
    curves: stage -> (steps int[n], losses float[n]).
    held_out: the same of the loss on the validation split, drawn as dots.
  """
  drawn = figure.Figure(figsize=(4.2 * len(curves), 3), layout="constrained")
  panels = drawn.subplots(1, len(curves), squeeze=False, sharey=True)[0]
  for i, (panel, (stage, (steps, losses))) in enumerate(
    zip(panels, curves.items(), strict=True)
  ):
    panel.spines[["top", "right"]].set_visible(False)
    colour = plotting.COLOURS[i % len(plotting.COLOURS)]
    panel.plot(steps, losses, color=colour, lw=0.8, alpha=0.35)
    panel.plot(steps, _smooth(np.asarray(losses, float)), color=colour, lw=2)
    if held_out and stage in held_out:
      line = {"color": plotting.INK, "lw": 1, "marker": "o", "ms": 4}
      panel.plot(*held_out[stage], **line, label="held out")
      panel.legend(frameon=False, fontsize=9)
    panel.set_title(f"{stage}: {losses[0]:.2f} → {losses[-1]:.2f}", fontsize=10)
    panel.set_xlabel("step")
    panel.set_ylim(bottom=0)
    panel.grid(color="#e4e7ec")
  panels[0].set_ylabel("loss (nats a token)")
  return drawn


def _smooth(values: np.ndarray) -> np.ndarray:
  """Mean over a centred window of about a twentieth of the curve."""
  width = max(len(values) // 20, 1) | 1
  # With zeros the ends of the curve would bend down.
  edge = np.pad(values, width // 2, mode="edge")
  return np.convolve(edge, np.ones(width) / width, mode="valid")


def confusion(names: list[str], counts: np.ndarray) -> figure.Figure:
  """Confusion matrix: share of each true class (rows) called each class.

  Args:
    names: of the classes.
    counts: int[classes, classes + 1]; the last column is any other answer.
  """
  counts = np.asarray(counts)
  size = len(names)
  shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  scale = min(0.38, 5.5 / max(size, 1))
  drawn, axes = plotting.axes_of(1.6 + scale * (size + 1), 1.2 + scale * size)
  axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
  small = max(4.0, min(9.0, 165 / max(size, 1)))
  axes.set_xticks(
    range(size + 1), [*names, "other"], rotation=45, ha="right", fontsize=small
  )
  axes.set_yticks(range(size), names, fontsize=small)
  if size <= 15:
    for (row, column), count in np.ndenumerate(counts):
      if count:
        axes.text(
          column,
          row,
          count,
          ha="center",
          va="center",
          fontsize=8,
          color="white" if shares[row, column] > 0.5 else plotting.INK,
        )
  axes.axvline(size - 0.5, color=plotting.GREY, lw=0.8)
  axes.spines[:].set_visible(False)
  axes.tick_params(length=0)
  axes.set_xlabel("answered")
  axes.set_ylabel("true")
  return drawn
