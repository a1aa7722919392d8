"""What all figures share: colours, an empty pair of axes, a PNG.

Figures are made without pyplot, so nothing global is touched and no display
is needed; `png` renders one.
"""

import io

from matplotlib import axes as axes_lib
from matplotlib import figure

# One colour a family, in the order of `tasks.FAMILIES`; see `colour`.
COLOURS = (
  "#4269d0",
  "#efb118",
  "#ff725c",
  "#6cc5b0",
  "#3ca951",
  "#a463f2",
  "#9c6b4e",
)
DPI = 144  # of `png`, unless told otherwise
GREY = "#8b93a1"
INK = "#1f2430"


def colour(index: int) -> str:
  """The colour of the index-th of many: they come again after the last."""
  return COLOURS[index % len(COLOURS)]


def png(drawn: figure.Figure, dpi: int = DPI) -> bytes:
  """A figure as the bytes of a PNG."""
  buffer = io.BytesIO()
  drawn.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
  return buffer.getvalue()


def axes_of(width: float, height: float) -> tuple[figure.Figure, axes_lib.Axes]:
  """A figure of so many inches and its one pair of axes, without a box."""
  # Not by pyplot, which keeps every figure until it is closed.
  drawn = figure.Figure(figsize=(width, height), layout="constrained")
  axes = drawn.add_subplot()
  axes.spines[["top", "right"]].set_visible(False)
  axes.tick_params(colors=INK, labelsize=9)
  return drawn, axes
