"""The self-contained HTML report: one file, no network.

Families at a glance, the table of all tasks, plots; then every task with its
further metrics, confusion matrix and its worst and best samples. The HTML is
in the templates beside this file; `report.html.jinja` is the page.
"""

import dataclasses

import jinja2

from crab_jax.evaluation.report import anchors
from crab_jax.evaluation.report import embedded
from crab_jax.evaluation.report import overview
from crab_jax.evaluation.report import sections

_HEADINGS = {"qa": "QA"}  # of families; others are headed by their name


@dataclasses.dataclass(frozen=True)
class Family:
  """A family of tasks: means of its members, and their sections."""

  name: str
  heading: str
  value: float
  chance: float
  base_alone: float | None
  sections: list[sections.Section]


def render(
  scores: overview.Scores,
  artefacts: overview.Artefacts,
  drawn: dict[str, bytes],
) -> str:
  """The whole page.

  Args:
    scores: of every task that was evaluated.
    artefacts: what is shown beside them.
    drawn: the PNG of each plot over all tasks, by name.
  """
  return (
    environment()
    .get_template("report.html.jinja")
    .render(
      title=artefacts.title,
      about=artefacts.about,
      notes=artefacts.notes,
      remarks=artefacts.remarks,
      columns=anchors.columns(),
      with_base=bool(artefacts.base_alone),
      families=families(scores, artefacts),
      unified=artefacts.unified and artefacts.unified.summary,
      plots=[embedded.plot(png, name) for name, png in drawn.items()],
    )
  )


def environment() -> jinja2.Environment:
  """What the templates of this folder are rendered by."""
  made = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__, "."),
    # Answers and annotations are the texts of others.
    autoescape=True,
    # A misspelt name in a template is an error and no empty cell.
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  made.filters["shown"] = sections.shown
  return made


def families(
  scores: overview.Scores, artefacts: overview.Artefacts
) -> list[Family]:
  """The families in canonical order, each with the sections of its tasks."""
  members = overview.ordered(scores)
  return [
    Family(
      name,
      _HEADINGS.get(name, name),
      means["value"],
      means["chance"],
      means.get("base_alone"),
      [
        sections.section(
          score, artefacts.lookup, artefacts.base_alone.get(score.task)
        )
        for score in members
        if score.family == name
      ],
    )
    for name, means in overview.families(scores, artefacts.base_alone).items()
  ]
