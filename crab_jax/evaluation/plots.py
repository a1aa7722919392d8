"""Plots of a report: plain arrays in, a matplotlib Figure out.

Figures are made without pyplot, so nothing global is touched and no display
is needed; `png` renders one.
"""

import io

import numpy as np
from matplotlib import figure

from crab_jax import array_types

# One colour a family, in the order of `tasks.FAMILIES`.
COLOURS = (
  "#4269d0",
  "#efb118",
  "#ff725c",
  "#6cc5b0",
  "#3ca951",
  "#a463f2",
  "#9c6b4e",
)
_KIND_COLOURS = {
  array_types.TokenKind.TEXT: "#c3c9d3",
  array_types.TokenKind.VISION: "#3a7d44",
  array_types.TokenKind.AUDIO: "#8f2d56",
  array_types.TokenKind.ANSWER: "#1f2430",
}
DPI = 144  # of `png`, unless told otherwise
_GREY = "#8b93a1"
_INK = "#1f2430"


def png(drawn: figure.Figure, dpi: int = DPI) -> bytes:
  """A figure as the bytes of a PNG."""
  buffer = io.BytesIO()
  drawn.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
  return buffer.getvalue()


def _axes(width: float, height: float):
  """A figure of so many inches and its one pair of axes, without a box."""
  drawn = figure.Figure(figsize=(width, height), layout="constrained")
  axes = drawn.add_subplot()
  axes.spines[["top", "right"]].set_visible(False)
  axes.tick_params(colors=_INK, labelsize=9)
  return drawn, axes


def score_against_chance(
  names: list[str],
  values: np.ndarray,
  chances: np.ndarray,
  families: list[str],
  anchors: dict[str, list[float | None]] | None = None,
) -> figure.Figure:
  """Bars of scores, a mark at chance on each, dots at published numbers.

  Args:
    names: of the tasks, in the order shown.
    values, chances: float[n], the primary metric in [0, 1].
    families: of each task; tasks of a family stand together.
    anchors: model -> its number for each task, None where unknown.
  """
  drawn, axes = _axes(max(6.0, 0.52 * len(names) + 1.5), 3.9)
  order = list(dict.fromkeys(families))
  places = np.arange(len(names)) + 0.5 * np.array(
    [order.index(family) for family in families]
  )
  colours = [COLOURS[order.index(f) % len(COLOURS)] for f in families]
  axes.bar(places, values, 0.72, color=colours, zorder=2)
  for place, chance in zip(places, chances, strict=True):
    axes.plot(
      [place - 0.44, place + 0.44], [chance] * 2, color=_INK, lw=2.2, zorder=3
    )
  for place, value, chance in zip(places, values, chances, strict=True):
    near = value < chance < value + 0.06  # the mark would strike it through
    axes.text(
      place,
      (chance if near else value) + 0.012,
      f"{value:.2f}",
      ha="center",
      fontsize=8,
      color=_INK,
    )
  _anchor_dots(axes, places, anchors or {})
  axes.plot([], [], color=_INK, lw=2.2, label="chance (best blind guess)")
  axes.set_xticks(places, names, rotation=38, ha="right")
  axes.set_ylim(0, 1.08)
  axes.set_ylabel("primary metric")
  axes.grid(axis="y", color="#e4e7ec", zorder=0)
  _family_names(axes, places, families)
  axes.legend(
    loc="upper left",
    bbox_to_anchor=(0, 1.17),
    frameon=False,
    fontsize=9,
    ncols=4,
  )
  return drawn


def _anchor_dots(axes, places, anchors) -> None:
  markers = "oDs^"
  for i, (model, numbers) in enumerate(anchors.items()):
    known = [
      (p, n) for p, n in zip(places, numbers, strict=True) if n is not None
    ]
    if known:
      axes.scatter(
        *zip(*known, strict=True),
        marker=markers[i % 4],
        s=26,
        color="white",
        edgecolor=_INK,
        zorder=4,
        label=model,
      )


def _family_names(axes, places, families) -> None:
  """The family's name over its tasks."""
  for family in dict.fromkeys(families):
    own = [p for p, f in zip(places, families, strict=True) if f == family]
    axes.text(
      np.mean(own),
      1.065,
      family,
      ha="center",
      va="bottom",
      fontsize=8,
      color=_GREY,
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
    colour = COLOURS[i % len(COLOURS)]
    panel.plot(steps, losses, color=colour, lw=0.8, alpha=0.35)
    panel.plot(steps, _smooth(np.asarray(losses, float)), color=colour, lw=2)
    if held_out and stage in held_out:
      line = {"color": _INK, "lw": 1, "marker": "o", "ms": 4}
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
  edge = np.pad(values, width // 2, mode="edge")
  return np.convolve(edge, np.ones(width) / width, mode="valid")


def router_gates(
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
  drawn, axes = _axes(1.5 + 0.56 * heads, 0.8 + 0.25 * len(names))
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
      color="white" if far else _INK,
    )
  axes.spines[:].set_visible(False)
  axes.tick_params(length=0)
  axes.set_title(title, fontsize=10)
  bar = drawn.colorbar(image, ax=axes, shrink=0.6, aspect=30)
  bar.ax.tick_params(labelsize=8, length=2)
  return drawn


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
  drawn, axes = _axes(1.6 + scale * (size + 1), 1.2 + scale * size)
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
          color="white" if shares[row, column] > 0.5 else _INK,
        )
  axes.axvline(size - 0.5, color=_GREY, lw=0.8)
  axes.spines[:].set_visible(False)
  axes.tick_params(length=0)
  axes.set_xlabel("answered")
  axes.set_ylabel("true")
  return drawn


def timeline(
  truth: list[tuple[str, float, float]],
  said: list[tuple[str, float, float]],
  seconds: float = 10.0,
) -> figure.Figure:
  """True (filled) and predicted (hatched) spans of events, a row a label.

  Args:
    truth, said: (label, start, end) in seconds.
    seconds: length of the clip.
  """
  names = list(dict.fromkeys(event[0] for event in [*truth, *said]))
  drawn, axes = _axes(6, 0.7 + 0.55 * max(len(names), 1))
  for events, offset, hatch, alpha in (
    (truth, 0.2, None, 1.0),
    (said, -0.2, "////", 0.45),
  ):
    for label, start, end in events:
      row = names.index(label)
      axes.barh(
        row + offset,
        end - start,
        0.34,
        left=start,
        hatch=hatch,
        color=COLOURS[row % len(COLOURS)],
        alpha=alpha,
        edgecolor=_INK if hatch else "none",
        lw=0.6,
      )
  axes.set_yticks(range(len(names)), names)
  axes.set_xlim(0, seconds)
  axes.set_ylim(-0.6, max(len(names), 1) - 0.4)
  axes.set_xlabel("seconds: true (filled), answered (hatched)", fontsize=9)
  axes.grid(axis="x", color="#e4e7ec")
  axes.set_axisbelow(True)
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
  drawn, axes = _axes(8.4, 2.8)
  edges = np.arange(tokens + 1)
  shares = np.concatenate([gates, gates[-1:]]).T  # the last token has a width
  axes.stackplot(
    edges,
    shares,
    step="post",
    colors=[COLOURS[head % len(COLOURS)] for head in range(heads)],
    labels=[f"head {head + 1}" for head in range(heads)],
  )
  for head in range(1, heads):
    axes.axhline(head / heads, color="white", lw=0.8, ls=":")
  for kind in array_types.TokenKind:
    if np.any(kinds == kind):
      axes.broken_barh(
        [(token, 1) for token in np.flatnonzero(kinds == kind)],
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
