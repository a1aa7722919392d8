"""The self-contained HTML report: one file, no network.

Pictures and sound lie inside as base64. Sections: families at a glance, the
table, plots; then every task with its further metrics, confusion matrix and
its worst and best samples.
"""

import html
import importlib.resources

import numpy as np

from crab_jax import plotting
from crab_jax.evaluation.report import anchors
from crab_jax.evaluation.report import cards
from crab_jax.evaluation.report import overview
from crab_jax.evaluation.report import plots

_SAMPLES = 2  # worst, and best, of each task
_CLASSES = 40  # a larger confusion matrix is not drawn
_WIDE = 600  # pixels; a wider plot is scrolled on a small screen
_CONFUSED = 12  # commonest mistakes that are listed instead
_NAMES = {"qa": "QA"}  # headings that are not the family's name


def render(
  scores: overview.Scores,
  artefacts: overview.Artefacts,
  drawn: dict[str, bytes],
) -> str:
  """The whole page.

  Args:
    drawn: the PNG of each plot over all tasks, by name.
  """
  style = importlib.resources.files(__package__) / "style.html"
  families = overview.families(scores)
  body = [
    f"<h1>{_text(artefacts.title)}</h1>",
    _about(artefacts.about),
    _tiles(families),
    _panel(_table(scores)),
    _notes(artefacts.notes),
    _plots(drawn),
    *[
      section
      for family in families
      for section in _family(family, scores, artefacts)
    ],
    _footer(),
  ]
  links = "".join(f'<a href="#{f}">{_NAMES.get(f, f)}</a>' for f in families)
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f"<title>{_text(artefacts.title)}</title>"
    f"{style.read_text(encoding='utf-8')}</head>\n<body>"
    f'<nav><div><a href="#top">overview</a>{links}</div></nav>'
    f'<main id="top">{"".join(body)}</main></body></html>\n'
  )


def _text(value) -> str:
  return html.escape(str(value))


def _panel(content: str) -> str:
  return f'<div class="panel scroll">{content}</div>' if content else ""


def _about(about: dict[str, str]) -> str:
  facts = [f"{_text(k)} <b>{_text(v)}</b>" for k, v in about.items()]
  return f'<p class="about">{" · ".join(facts)}</p>' if facts else ""


def _bar(value: float, chance: float) -> str:
  """A bar of the value with a mark at chance."""
  width, mark = (100 * min(max(v, 0), 1) for v in (value, chance))
  return (
    f'<div class="bar"><i style="width:{width:.1f}%"></i>'
    f'<b style="left:{mark:.1f}%"></b></div>'
  )


def _tiles(families: dict) -> str:
  tiles = [
    f'<div class="tile"><div class="name">{_NAMES.get(family, family)}</div>'
    f'<div class="value">{row["value"]:.2f}</div>'
    f"{_bar(row['value'], row['chance'])}"
    f'<div class="chance">chance {row["chance"]:.2f} ·'
    f" {row['tasks']} {'sets' if row['tasks'] > 1 else 'set'}</div></div>"
    for family, row in families.items()
  ]
  return f'<div class="tiles">{"".join(tiles)}</div>'


def _table(scores: overview.Scores) -> str:
  """The table of all tasks by family, with the published numbers."""
  heads = [
    ("family", 0),
    ("task", 0),
    ("metric", 0),
    ("score", 1),
    ("", 0),
    ("chance", 1),
    *((model, 1) for model in anchors.columns()),
    ("official- compatible", 1),
    ("n", 1),
    ("not read", 1),
    ("failed", 1),
    ("dupli- cates", 1),
    ("lenient", 1),
    ("split", 0),
  ]
  rows = "".join(
    f"<tbody>{_family_rows(family, row, scores)}</tbody>"
    for family, row in overview.families(scores).items()
  )
  top = "".join(
    f'<th class="number">{_text(h)}</th>' if number else f"<th>{_text(h)}</th>"
    for h, number in heads
  )
  return f"<table><thead><tr>{top}</tr></thead>{rows}</table>"


def _family_rows(family: str, row: dict, scores: overview.Scores) -> str:
  """The rows of a family; its name and mean stand beside them all."""
  members = [s for s in overview.ordered(scores) if s.family == family]
  mean = f"<br><small>mean {row['value']:.3f}</small>" * (len(members) > 1)
  name = (
    f'<td class="family" rowspan="{len(members)}">'
    f"{_NAMES.get(family, family)}{mean}</td>"
  )
  first, *others = (_row(score) for score in members)
  return "".join(f"<tr>{cells}</tr>" for cells in (name + first, *others))


def _row(score) -> str:
  """The cells of a task."""
  official = score.official_compatible
  name = official.get("metric", "")
  name = f"<small>{name}</small> " if name else ""
  count = f"<br><small>n={official['n']}</small>" * (official["n"] != score.n)
  numbers = [
    f"{name}{official['value']:.3f}{count}",
    score.n,
    score.parse_failures,
    score.failed,
    score.duplicates,
    score.lenient,
  ]
  cells = "".join(f'<td class="number">{value}</td>' for value in numbers)
  return (
    f'<td class="task"><a href="#{score.task}">{score.task}</a></td>'
    f'<td class="metric">{_text(score.metric)}</td>'
    f'<td class="number"><b>{score.value:.3f}</b></td>'
    f"<td>{_bar(score.value, score.chance)}</td>"
    f'<td class="number">{score.chance:.3f}</td>'
    f"{_published(score)}{cells}<td>{_text(score.split)}</td>"
  )


def _published(score) -> str:
  """A cell for each published model; a dash where no number is known."""
  known = anchors.of(score.task, score.metric)
  cells = (
    f'<td class="number" title="{_text(known[model]["source"])}">'
    f"{known[model]['value']:.3f}</td>"
    if model in known
    else '<td class="number unknown">—</td>'
    for model in anchors.columns()
  )
  return "".join(cells)


def _plot(data: bytes, alt: str) -> str:
  url = cards.data_url("image/png", data)
  width = int.from_bytes(data[16:20]) * 96 // plotting.DPI  # of the PNG header
  wide = " wide" * (width > _WIDE)
  return (
    f'<div class="plot{wide}"><img width="{width}" src="{url}"'
    f' alt="{_text(alt)}"></div>'
  )


def _plots(drawn: dict[str, bytes]) -> str:
  shown = [
    f'<div class="panel">{_plot(data, name)}</div>'
    for name, data in drawn.items()
  ]
  return f'<div class="plots">{"".join(shown)}</div>'


def _notes(notes: list[str]) -> str:
  return "".join(f'<p class="note">{_text(note)}</p>' for note in notes)


def _family(family: str, scores: overview.Scores, artefacts) -> list[str]:
  members = [s for s in overview.ordered(scores) if s.family == family]
  return [
    f'<h2 id="{family}">{_NAMES.get(family, family)}</h2>',
    *(_task(score, artefacts.lookup) for score in members),
  ]


def _task(score, lookup) -> str:
  """The section of one task."""
  worst, best = cards.pick(score.rows, _SAMPLES)
  parts = [
    f'<h3 id="{score.task}">{score.task}</h3>',
    _facts(score),
    _panel(_details(score.details, _others(score.official_compatible))),
  ]
  if score.definition.visual == "image":
    parts.append(
      '<p class="legend">Green: true mask and its extent, or true box. Magenta: the'
      " answered box and points.</p>"
    )
  elif score.definition.kind == "events":
    parts.append(
      '<p class="legend">Timelines: filled is true, outlined is answered;'
      " a row without see or hear is both.</p>"
    )
  alike = best and worst[0]["score"]["score"] == best[0]["score"]["score"]
  names = ("", "") if alike else ("worst", "best")
  shown = [
    cards.card(
      score.definition, name, row, lookup(row["id"]) if lookup else None
    )
    for name, rows in zip(names, (worst, best), strict=True)
    for row in rows
  ]
  return "".join([*parts, f'<div class="cards">{"".join(shown)}</div>'])


def _facts(score) -> str:
  official = score.official_compatible
  facts = {
    score.metric: f"{score.value:.3f}",
    "chance": f"{score.chance:.3f} ({score.guess})",
    "official-compatible": _official(official),
    "n": score.n,
    "not read": score.parse_failures,
    "failed": score.failed,
    "duplicates": score.duplicates,
    "lenient": score.lenient,
    "split": score.split,
  }
  words = [
    f"<span>{_text(k)} <b>{_text(v)}</b></span>" for k, v in facts.items()
  ]
  return f'<div class="facts">{"".join(words)}</div>'


def _official(official: dict) -> str:
  """The numbers under the official conventions, in words."""
  others = [
    f"{name.replace('_', ' ')} {value:.3f}"
    for name, value in official.items()
    if isinstance(value, float)
    and name not in ("value", official.get("metric"))
  ]
  name = f"{official['metric']} " if "metric" in official else ""
  counts = f"n = {official['n']}, {official['dropped']} dropped"
  words = "; ".join([counts, ", ".join(others)] if others else [counts])
  return f"{name}{official['value']:.3f} ({words})"


def _others(official: dict) -> dict:
  """The tables among the numbers under the official conventions."""
  return {
    f"official-compatible {name}": value
    for name, value in official.items()
    if isinstance(value, dict)
  }


def _details(details: dict, official: dict) -> str:
  """Numbers as facts, tables as tables, the confusion matrix as a plot."""
  facts, tables = [], []
  for name, value in {**details, **official}.items():
    title = _text(name.replace("_", " "))
    if name == "confusion":
      tables.append(f"<div>{_confusion(**value)}</div>")
    elif isinstance(value, dict):
      if value:
        tables.append(f"<div><h4>{title}</h4>{_numbers(value)}</div>")
    elif value is not None:
      shown = f"{value:.3f}" if isinstance(value, float) else value
      facts.append(f"<span>{title} <b>{_text(shown)}</b></span>")
  rows = (("facts", facts), ("columns", tables))
  return "".join(
    f'<div class="{kind}">{"".join(parts)}</div>'
    for kind, parts in rows
    if parts
  )


def _confusion(labels: list[str], counts: list[list[int]]) -> str:
  """The matrix; of many classes only the commonest mistakes."""
  if len(labels) <= _CLASSES:
    drawn = plots.confusion(labels, np.array(counts))
    return _plot(plotting.png(drawn), "confusion matrix")
  names = [*labels, "other"]
  mistakes = [
    (count, true, names[column])
    for row, (true, line) in enumerate(zip(labels, counts, strict=True))
    for column, count in enumerate(line)
    if count and column != row
  ]
  mistakes.sort(key=lambda mistake: -mistake[0])
  table = {f"{true} → {said}": count for count, true, said in mistakes}
  shown = dict(list(table.items())[:_CONFUSED])
  title = "<h4>commonest mistakes: true → answered</h4>"
  return title + _numbers(shown) if shown else ""


def _numbers(values: dict) -> str:
  """A small table; a row that is itself a dict shows its first number as bar."""
  rows = []
  for name, value in values.items():
    cells = value.values() if isinstance(value, dict) else [value]
    cells = [f"{v:.3f}" if isinstance(v, float) else v for v in cells]
    shown = "".join(
      f'<td class="number">{_text("—" if v is None else v)}</td>' for v in cells
    )
    rows.append(f"<tr><td>{_text(name)}</td>{shown}</tr>")
  first = next(iter(values.values()))
  head = ""
  if isinstance(first, dict):
    names = "".join(f'<th class="number">{_text(k)}</th>' for k in first)
    head = f"<tr><th></th>{names}</tr>"
  return f"<table>{head}{''.join(rows)}</table>"


def _footer() -> str:
  return (
    "<footer>Strict scores: what was not read, failed or is missing counts as"
    " wrong. Official-compatible: the conventions of the official scripts,"
    " rows that they drop left out. Chance: the best blind guess under the"
    " same metric, computed from the references. Published numbers come from"
    " anchors.json; a dash stands where none has a source that was"
    " checked.</footer>"
  )
