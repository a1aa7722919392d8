"""CSV and JSONL files as values by column, each with its file and line."""

import csv
import json
from collections.abc import Iterator
from typing import Any

from crab_jax import errors
from crab_jax import files

_SEPARATORS = (",", "\t", ";", "|")


def read(path: files.Path) -> Iterator[tuple[str, dict[str, Any]]]:
  """(file and line, values) of every row of a file.

  Raises:
    UserError: it is not there, no UTF-8, or a line is no row of it.
  """
  try:
    # utf-8-sig: spreadsheets begin their files with a mark.
    text = path.read_text(encoding="utf-8-sig")
  except (OSError, UnicodeDecodeError) as error:
    raise errors.UserError(f"cannot read {path}: {error}") from error
  suffix = path.suffix.lower()
  if suffix in (".jsonl", ".ndjson"):
    return _json_lines(path, text)
  if suffix in (".csv", ".tsv", ".txt"):
    return _csv_rows(path, text)
  raise errors.UserError(f"{path}: a source is a .csv, .tsv or .jsonl file")


def _json_lines(
  path: files.Path, text: str
) -> Iterator[tuple[str, dict[str, Any]]]:
  for number, line in enumerate(text.split("\n"), 1):
    if not line.strip():
      continue
    where = f"{path.name} line {number}"
    try:
      values = json.loads(line)
    except (ValueError, RecursionError) as error:
      raise errors.UserError(f"{where}: no JSON: {error}") from None
    if not isinstance(values, dict):
      raise errors.UserError(f"{where}: it should be a JSON object")
    yield where, values


def _csv_rows(
  path: files.Path, text: str
) -> Iterator[tuple[str, dict[str, Any]]]:
  lines = text.splitlines(keepends=True)
  first = lines[0] if lines else ""
  separator = max(_SEPARATORS, key=first.count)
  reader = csv.reader(lines, delimiter=separator, strict=True)
  try:
    header = [name.strip() for name in next(reader, [])]
    _check_header(path, header)
    end = reader.line_num
    for cells in reader:
      where, end = f"{path.name} line {end + 1}", reader.line_num
      if not any(map(str.strip, cells)):
        continue
      if len(cells) != len(header):
        raise errors.UserError(
          f"{where}: {len(cells)} cells, the header has {len(header)}; a cell"
          f" with {separator!r} in it needs quotes"
        )
      yield (
        where,
        {name: cell.strip() for name, cell in zip(header, cells, strict=True)},
      )
  except csv.Error as error:
    raise errors.UserError(
      f"{path.name} line {reader.line_num}: {error}"
    ) from None


def _check_header(path: files.Path, header: list[str]) -> None:
  if not any(header):
    raise errors.UserError(f"{path}: no header")
  if twice := sorted({name for name in header if header.count(name) > 1}):
    raise errors.UserError(f"{path}: column {twice[0]!r} is there twice")
