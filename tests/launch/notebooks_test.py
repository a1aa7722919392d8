"""The notebooks of launch/: their form, and what they share."""

import ast
import re

import pytest

from tests.launch import notebooks

_CELL_KEYS = {
  "markdown": {"cell_type", "id", "metadata", "source"},
  "code": {
    *("cell_type", "id", "metadata", "source"),
    *("execution_count", "outputs"),
  },
}


@pytest.mark.parametrize("name", notebooks.NAMES)
def test_it_is_a_notebook_of_format_4_without_outputs(name):
  notebook = notebooks.read(name)
  assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
  assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
  assert notebook["metadata"]["colab"]["name"] == f"{name}.ipynb"
  ids = [cell["id"] for cell in notebook["cells"]]
  assert len(set(ids)) == len(ids)
  for cell in notebook["cells"]:
    assert set(cell) == _CELL_KEYS[cell["cell_type"]]
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", cell["id"])
    assert all(line.endswith("\n") for line in cell["source"][:-1])
    if cell["cell_type"] == "code":
      assert cell["outputs"] == []
      assert cell["execution_count"] is None


@pytest.mark.parametrize("name", notebooks.NAMES)
def test_every_code_cell_parses(name):
  cells = notebooks.code_cells(name)
  assert len(cells) >= 6
  for cell in cells.values():
    ast.parse(cell)
    assert not re.search("^ *[!%]", cell, re.M)


@pytest.mark.parametrize("name", notebooks.NAMES)
def test_what_a_user_fills_in_is_in_the_cell_of_settings(name):
  cells = notebooks.code_cells(name)
  settings = ast.parse(cells["settings"])
  assert all(isinstance(node, ast.Assign) for node in settings.body)
  assert cells["settings"].count("# @param") == len(settings.body)
  assert {"REPOSITORY", "DRIVE"} <= {
    node.targets[0].id for node in settings.body
  }


def test_cells_of_one_name_are_the_same():
  one, *others = (notebooks.code_cells(name) for name in notebooks.NAMES)
  for other in others:
    for name in set(one) & set(other) - {"settings", "train"}:
      assert one[name] == other[name], name
    assert {"drive", "accelerator", "install"} <= set(other)
