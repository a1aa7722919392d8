"""Tries batch sizes, rematerialisation and mesh shapes; keeps the best."""

import dataclasses
import re
from collections.abc import Iterator

from crab_jax import configs
from crab_jax import errors
from crab_jax.planning import chips
from crab_jax.planning import report


@dataclasses.dataclass(frozen=True)
class Grid:
  """What to try; every combination is compiled.

  Attributes:
    rows: rows of a step.
    remat: values of `Model.remat`.
    meshes: devices along data, fsdp and tensor.
  """

  rows: tuple[int, ...]
  remat: tuple[str, ...]
  meshes: tuple[tuple[int, int, int], ...]


def default_grid(stage: configs.Stage, topology: str, slices: int = 1) -> Grid:
  """The batch as it is and doubled, less memory or less work, 3 meshes."""
  _, count = chips.of_topology(topology)
  return Grid(
    rows=(stage.rows.rows, 2 * stage.rows.rows),
    remat=("full", "projections"),
    meshes=tuple(
      (slices, count // tensor, tensor)
      for tensor in (1, 2, 4)
      if not count % tensor
    ),
  )


def parse_mesh(text: str) -> tuple[int, int, int]:
  """ "1x16x1" -> (1, 16, 1): data, fsdp, tensor.

  Raises:
    UserError: it does not read so.
  """
  match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
  if match is None:
    raise errors.UserError(
      f"mesh {text!r} must read data x fsdp x tensor: 1x4x4"
    )
  return int(match[1]), int(match[2]), int(match[3])


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One combination; `plan` is None if it cannot be, and `why` says so."""

  rows: int
  remat: str
  mesh: tuple[int, int, int]
  plan: report.Plan | None
  why: str = ""


def run(
  model: configs.Model,
  stage: configs.Stage,
  mesh: configs.Mesh,
  topology: str,
  grid: Grid,
) -> Iterator[Candidate]:
  """Compiles every combination of the grid, one after the other."""
  for shape in grid.meshes:
    for remat in grid.remat:
      for rows in grid.rows:
        data, fsdp, tensor = shape
        try:
          found = report.plan(
            dataclasses.replace(model, remat=remat),
            dataclasses.replace(
              stage, rows=dataclasses.replace(stage.rows, rows=rows)
            ),
            dataclasses.replace(mesh, data=data, fsdp=fsdp, tensor=tensor),
            topology,
          )
          yield Candidate(rows, remat, shape, found)
        # A combination that cannot be is a line of the table, not the end of
        # the sweep.
        except (errors.UserError, ValueError) as error:
          yield Candidate(rows, remat, shape, None, str(error))


def ranked(candidates: list[Candidate]) -> list[report.Plan]:
  """Those that fit, the most tokens a second first.

  Ranked by the step in which nothing overlaps: who needs less of everything
  wins, whatever the scheduler achieves.
  """
  fitting = [
    (c.plan.times.worst / c.plan.rows.rows, c.plan)
    for c in candidates
    if c.plan and c.plan.times and c.plan.memory.fits
  ]
  return [plan for _, plan in sorted(fitting, key=lambda pair: pair[0])]
