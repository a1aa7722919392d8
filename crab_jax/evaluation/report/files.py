"""The report of an evaluation: report.json, report.md and report.html.

`write` takes the scores (with their rows), and what there is beside them: a
lookup of records for pictures, sound and true masks; the lines of
metrics.jsonl for loss curves; router gates. What is not there is left out.
"""

import dataclasses
from collections.abc import Mapping

from crab_jax import files
from crab_jax import plotting
from crab_jax.data import tasks
from crab_jax.evaluation.reading import references
from crab_jax.evaluation.report import cards
from crab_jax.evaluation.report import overview
from crab_jax.evaluation.report import page
from crab_jax.evaluation.report import unified_page
from crab_jax.evaluation.scoring import score_sheet

Artefacts = overview.Artefacts
Scores = overview.Scores
_PLOTS = "plots"  # folders beside report.md
_SAMPLES = "samples"
UNIFIED_PAGE = "unified.html"


@dataclasses.dataclass(frozen=True)
class Written:
  """A report that is written.

  Attributes:
    path: of report.html.
    complete: whether everything could be scored.
  """

  path: files.Path
  complete: bool


def write(
  out: files.Path, scores: Scores, artefacts: Artefacts | None = None
) -> files.Path:
  """Writes the report into a folder.

  report.json, report.md with its pictures in plots/ and samples/, and
  report.html, which needs none of them; unified.html where scenes were asked
  about by every task.

  Args:
    out: the folder; made if need be.
    scores: task -> its score.
    artefacts: what is shown beside them.

  Returns:
    The path of report.html.
  """
  artefacts = artefacts or Artefacts()
  out = files.path(out)
  for folder in (_PLOTS, _SAMPLES):
    files.make_folder(out / folder)
  files.write_json(out / "report.json", to_json(scores, artefacts))
  drawn = {
    name: plotting.png(figure)
    for name, figure in overview.figures(scores, artefacts).items()
  }
  for name, data in drawn.items():
    files.write_bytes(out / _PLOTS / f"{name}.png", data)
  markdown = to_markdown(scores, artefacts, out, list(drawn))
  files.write_text(out / "report.md", markdown)
  html = page.render(scores, artefacts, drawn)
  files.write_text(out / "report.html", html)
  if artefacts.unified is not None:
    scenes = unified_page.render(artefacts.unified, artefacts.unified_lookup)
    files.write_text(out / UNIFIED_PAGE, scenes)
  return out / "report.html"


def publish(
  out: files.Path, sheet: score_sheet.Sheet, artefacts: Artefacts
) -> Written:
  """Writes the report of a sheet and prints its table, notes and remarks."""
  remarks = sheet.remarks
  artefacts = dataclasses.replace(
    artefacts,
    unscored=sheet.unscored,
    remarks=remarks,
    notes=[*artefacts.notes, *sheet.notes],
  )
  path = write(out, sheet.scored, artefacts)
  lines = table(sheet.scored, artefacts.base_alone)
  lines += ["", *unified_lines(artefacts)]
  print("\n".join([*lines, "", *artefacts.notes, *remarks]))
  return Written(path, complete=not remarks)


def to_json(scores: Scores, artefacts: Artefacts) -> dict:
  """The content of report.json."""
  unified = artefacts.unified
  return {
    "title": artefacts.title,
    "about": artefacts.about,
    "notes": artefacts.notes,
    "unscored": artefacts.unscored,
    "remarks": artefacts.remarks,
    "families": overview.families(scores, artefacts.base_alone),
    **({"unified": unified.summary} if unified is not None else {}),
    "tasks": {
      name: {**score.to_json(), **_alone(name, artefacts)}
      for name, score in scores.items()
    },
  }


def _alone(task: str, artefacts: Artefacts) -> dict[str, float]:
  """What report.json says of the base without its adapter, where it is known."""
  value = artefacts.base_alone.get(task)
  return {} if value is None else {"base_alone": value}


def to_markdown(
  scores: Scores, artefacts: Artefacts, out: files.Path, drawn: list[str]
) -> str:
  """The content of report.md; writes the pictures of its samples.

  Args:
    out: the folder of the report.
    drawn: names of the plots that lie in plots/.
  """
  lines = [f"# {artefacts.title}", ""]
  lines += [f"- {name}: {value}" for name, value in artefacts.about.items()]
  lines += ["", *table(scores, artefacts.base_alone), ""]
  lines += unified_lines(artefacts)
  lines += [f"> {n}" for n in (*artefacts.remarks, *artefacts.notes)]
  for name in drawn:
    lines += ["", f"![{name}]({_PLOTS}/{name}.png)"]
  lines += ["", "## Samples", "", "The worst and the best of each set."]
  for score in overview.ordered(scores):
    worst, best = cards.pick(score.rows, 1)
    lines += ["", f"### {score.task}"]
    for name, row in (
      *(("worst", r) for r in worst),
      *(("best", r) for r in best),
    ):
      lines += [
        "",
        *_sample(score.definition, name, row, artefacts.lookup, out),
      ]
  return "\n".join(lines) + "\n"


def unified_lines(artefacts: Artefacts) -> list[str]:
  """What was measured of the scenes that every task asks about."""
  if artefacts.unified is None:
    return []
  said = artefacts.unified.summary
  families = ", ".join(
    f"{name} {means['score']:.2f} ({means['own_test']:.2f})"
    for name, means in said["families"].items()
  )
  agreed = ", ".join(
    f"{name} {share:.2f}" for name, share in said["consistent"].items()
  )
  return [
    f"{said['scenes']} scenes, {said['pairs']} answers ({UNIFIED_PAGE}): form"
    f" {said['form']:.3f}, consistency"
    f" {said['consistency'] or 0.0:.3f} ({agreed}); score of the families (on"
    f" their own test sets): {families}",
    "",
  ]


def _sample(task: tasks.Task, name: str, row: dict, lookup, out) -> list[str]:
  """The lines of one sample, its picture written beside."""
  lines = [f"**{name}** `{row['id']}`, score {row['score']['score']:.2f}", ""]
  picture = cards.picture(task, row, lookup(row["id"]) if lookup else None)
  if picture:
    file = f"{_SAMPLES}/{task.name}_{name}.jpg"
    files.write_bytes(out / file, picture)
    lines += [f"![{row['id']}]({file})", ""]
  reference = cards.in_words(task, references.read(task, row["reference"]))
  text = " ".join((row.get("text") or "(no text)").split())[:400]
  # Markdown passes tags on as HTML, and a bar would end a cell.
  text = text.replace("<", "&lt;").replace("|", "\\|")
  return [*lines, f"- answered: {text}", f"- true: {reference}"]


def table(
  scores: Scores, base_alone: Mapping[str, float] | None = None
) -> list[str]:
  """The lines of the table of scores, families in canonical order.

  Args:
    scores: task -> its score.
    base_alone: as in `Artefacts`; without any there is no such column.
  """
  alone = base_alone or {}
  names = ["family", "task", "metric", "score", "chance"]
  names += ["base alone"] * bool(alone)
  names += ["official-compatible", "n", "not read", "partly read", "failed"]
  names += ["unscored", "duplicates", "lenient", "split"]
  numbers = "---:|" * (len(names) - 4)
  lines = [f"| {' | '.join(names)} |", f"|---|---|---|{numbers}---|"]
  for score in overview.ordered(scores):
    official = score.official_compatible
    lines.append(
      f"| {score.family} | {score.task} | {score.metric}"
      f" | **{score.value:.3f}** | {score.chance:.3f}"
      f"{_alone_column(score.task, alone)}"
      f" | {official.get('metric', '')} {official['value']:.3f}"
      f" (n={official['n']})"
      f" | {score.n} | {score.parse_failures} | {score.partly_read}"
      f" | {score.failed} | {score.unscored} | {score.duplicates}"
      f" | {score.lenient} | {score.split} |"
    )
  return lines


def _alone_column(task: str, alone: Mapping[str, float]) -> str:
  if not alone:
    return ""
  value = alone.get(task)
  return " | —" if value is None else f" | {value:.3f}"
