"""Draws `.readme/architecture.svg` from the imports of the package.

  python -m tests.architecture_picture

A box is a folder of the package or a file beside the folders, with the first
line of its docstring, or those files of a folder that form a layer of their own. An arrow points from a box to one that it imports; an
import that a chain of other arrows implies is left out. Boxes stand by the
longest chain below them. The grey rows are what any folder may import: no
arrow points there. `architecture_picture_test` keeps the file true.
"""

import ast
import collections
import html
import pathlib
import textwrap

from tests import architecture_test

_ROOT = pathlib.Path(__file__).resolve().parents[1]
FILE = _ROOT / ".readme" / "architecture.svg"

_WIDTH, _HEIGHT = 196, 76  # of a box, pixels
_GAP_X, _GAP_Y = 22, 40
_MARGIN = 20
_LINE = 31  # characters of a description in a box
_IN_ROW = 4  # boxes of the base in a row
_COMMANDS = "commands"

# The layers up to this one are the grey rows.
_BASE = "gin_utils"

Edge = tuple[str, str]


def base() -> list[str]:
  """The boxes of the grey rows."""
  highest = architecture_test.LEVELS[_BASE]
  return [
    name for name, level in architecture_test.LEVELS.items() if level <= highest
  ]


def box_of(module: str) -> str:
  """The box of a module, `data.packing`: its layer, or "folder/file, file"."""
  layer = architecture_test.layer_of(module)
  folder, dot, _ = layer.rpartition(".")
  if not dot:
    return layer
  level = architecture_test.LEVELS[layer]
  beside = [
    other.rpartition(".")[2]
    for other, height in architecture_test.LEVELS.items()
    if height == level and other.rpartition(".")[0] == folder
  ]
  return f"{folder.replace('.', '/')}/{', '.join(beside)}"


def edges() -> set[Edge]:
  """(importing box, imported box) for every import between two boxes."""
  found = set()
  for path in architecture_test.FILES:
    own = box_of(architecture_test.module_of(path))
    for name in architecture_test.imports_of(path):
      if name.startswith("crab_jax."):
        found.add((own, box_of(name.removeprefix("crab_jax."))))
  return {
    (one, other)
    for one, other in found
    if one != other and not {one, other} & set(base())
  }


def reduced(found: set[Edge]) -> set[Edge]:
  """The edges that no chain of other edges implies."""
  below = collections.defaultdict(set)
  for one, other in found:
    below[one].add(other)

  def reachable(box: str) -> set[str]:
    direct = below[box]
    return direct.union(*(reachable(other) for other in direct))

  return {
    (one, other)
    for one, other in found
    if not any(other in reachable(middle) for middle in below[one])
  }


def levels(found: set[Edge]) -> dict[str, int]:
  """Box -> length of the longest chain of edges below it."""
  below = collections.defaultdict(set)
  for one, other in found:
    below[one].add(other)

  def depth(box: str) -> int:
    return 1 + max(map(depth, below[box]), default=-1)

  return {box: depth(box) for edge in found for box in edge}


def description(box: str) -> str:
  """What a box says of itself: the first line of its docstring, or its files."""
  if ", " in box:
    return box.rpartition("/")[2]
  if box == _COMMANDS:
    names = sorted(
      path.stem
      for path in architecture_test.FILES
      if architecture_test.layer_of(architecture_test.module_of(path)) == box
      and path.stem != "__init__"
    )
    return ", ".join(names)
  where = _ROOT / "crab_jax" / box
  file = where / "__init__.py" if where.is_dir() else where.with_suffix(".py")
  text = ast.get_docstring(ast.parse(file.read_text()))
  return (text or "").splitlines()[0].rstrip(".")


def _chains(found: set[Edge], level: dict[str, int]) -> list[list[str]]:
  """Each edge as its boxes and, on the levels between, bends of its own."""
  chains = []
  for one, other in sorted(found):
    between = range(level[one] - 1, level[other], -1)
    bends = [f"{one}>{other}@{height}" for height in between]
    level.update(zip(bends, between, strict=True))
    chains.append([one, *bends, other])
  return chains


def _rows(chains: list[list[str]], level: dict[str, int]) -> list[list[str]]:
  """The nodes of every level, lowest first, ordered by their neighbours."""
  rows = [[] for _ in range(max(level.values()) + 1)]
  for node in sorted(level):
    rows[level[node]].append(node)
  near = collections.defaultdict(set)
  for chain in chains:
    for one, other in zip(chain, chain[1:], strict=False):
      near[one].add(other)
      near[other].add(one)
  for sweep in range(12):
    order = range(len(rows)) if sweep % 2 else range(len(rows) - 1, -1, -1)
    for index in order:
      at = {
        node: place / len(row) for row in rows for place, node in enumerate(row)
      }
      rows[index].sort(
        key=lambda node: (
          sum(at[other] for other in near[node]) / max(len(near[node]), 1),
          node,
        )
      )
  return rows


def _centres(rows: list[list[str]]) -> dict[str, tuple[float, float]]:
  """The centre of every node in pixels; rows are centred on each other."""

  def width(node: str) -> int:
    return _GAP_X if "@" in node else _WIDTH

  widths = [sum(width(n) + _GAP_X for n in row) - _GAP_X for row in rows]
  centres = {}
  for index, row in enumerate(rows):
    x = _MARGIN + (max(widths) - widths[index]) / 2
    y = _MARGIN + (len(rows) - 1 - index) * (_HEIGHT + _GAP_Y) + _HEIGHT / 2
    for node in row:
      centres[node] = (x + width(node) / 2, y)
      x += width(node) + _GAP_X
  return centres


def _arrow(points: list[tuple[float, float]]) -> str:
  """A curve through the centres of a chain, from box edge to box edge."""
  half = _HEIGHT / 2
  (x, y), last = points[0], points[-1]
  path = [f"M{x:.0f} {y + half:.0f}"]
  y += half
  for next_x, next_y in points[1:]:
    top = next_y - half
    middle = (y + top) / 2
    path.append(
      f"C{x:.0f} {middle:.0f} {next_x:.0f} {middle:.0f} {next_x:.0f} {top:.0f}"
    )
    if (next_x, next_y) != last:
      path.append(f"V{next_y + half:.0f}")
    x, y = next_x, next_y + half
  return f'<path d="{" ".join(path)}" class="arrow"/>'


def _title(box: str) -> str:
  # A whole path would be wider than its box.
  return f"{box.split('/')[-2]}/…" if ", " in box else box


def _box(name: str, x: float, y: float) -> str:
  left, top = x - _WIDTH / 2, y - _HEIGHT / 2
  kind = "commands" if name == _COMMANDS else "box"
  kind = "base" if name in base() else kind
  lines = textwrap.wrap(description(name), _LINE, max_lines=3, placeholder=" …")
  parts = [
    f'<rect x="{left:.0f}" y="{top:.0f}" width="{_WIDTH}" height="{_HEIGHT}"'
    f' rx="8" class="{kind}"/>',
    f'<text x="{x:.0f}" y="{top + 20:.0f}" class="name">{_title(name)}</text>',
  ]
  parts += [
    f'<text x="{x:.0f}" y="{top + 37 + 15 * row:.0f}">'
    f"{html.escape(line)}</text>"
    for row, line in enumerate(lines)
  ]
  return "\n".join(parts)


_STYLE = """
.sheet { fill: #ffffff }
.box { fill: #f4f6fb; stroke: #9aa7c2 }
.commands { fill: #fff4dd; stroke: #d3a13f }
.base { fill: #f3f4f6; stroke: #c4c8d0 }
.arrow { fill: none; stroke: #5f6b85; stroke-width: 1.4;
  marker-end: url(#head) }
text { font: 11px system-ui, sans-serif; fill: #3b4459; text-anchor: middle }
.name { font: 600 13px system-ui, sans-serif; fill: #1f2430 }
"""


def svg() -> str:
  """The picture as the text of an SVG file."""
  arrows = reduced(edges())
  level = levels(arrows)
  boxes = [*sorted(level), *base()]
  chains = _chains(arrows, level)
  starts = range(0, len(base()), _IN_ROW)
  bottom = [base()[start : start + _IN_ROW] for start in reversed(starts)]
  centres = _centres([*bottom, *_rows(chains, level)])
  width = max(x for x, _ in centres.values()) + _WIDTH / 2 + _MARGIN
  height = max(y for _, y in centres.values()) + _HEIGHT / 2 + _MARGIN
  lines = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}"'
    f' height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img"'
    ' aria-label="Folders of crab_jax; arrows point to what is imported">',
    f"<style>{_STYLE}</style>",
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4"'
    ' markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#5f6b85"/></marker></defs>',
    '<rect width="100%" height="100%" rx="10" class="sheet"/>',
    *(_arrow([centres[node] for node in chain]) for chain in chains),
    *(_box(name, *centres[name]) for name in boxes),
    "</svg>",
  ]
  return "\n".join(lines) + "\n"


if __name__ == "__main__":
  FILE.write_text(svg(), encoding="utf-8")
  print(FILE)
