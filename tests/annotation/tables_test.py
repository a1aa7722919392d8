"""CSV and JSONL files."""

import pytest

from crab_jax import errors
from crab_jax.annotation import tables


def _write(tmp_path, name, text):
  (tmp_path / name).write_bytes(text.encode())
  return tmp_path / name


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_a_spreadsheet(tmp_path, separator):
  lines = ["\ufefftask,label", 'ks,"a ""b"""', "", ",", 'ks,"two\nlines"']
  text = "\r\n".join(lines).replace(",", separator)
  found = list(tables.read(_write(tmp_path, "a.csv", text)))
  assert found == [
    ("a.csv line 2", {"task": "ks", "label": 'a "b"'}),
    ("a.csv line 5", {"task": "ks", "label": "two\nlines"}),
  ]


def test_json_lines(tmp_path):
  path = _write(tmp_path, "a.jsonl", '{"a": [1]}\n\n{"b": "x\u2028y"}\n')
  assert list(tables.read(path)) == [
    ("a.jsonl line 1", {"a": [1]}),
    ("a.jsonl line 3", {"b": "x\u2028y"}),
  ]


@pytest.mark.parametrize(
  ("name", "text", "reason"),
  [
    ("a.csv", "a,b\n1\n", "a.csv line 2: 1 cells, the header has 2"),
    ("a.csv", "a,b\n1,2\n1,2,3\n", "a.csv line 3"),
    ("a.csv", 'a,b\n1,"2\n', "line"),
    ("a.csv", "", "no header"),
    ("a.csv", "a,a\n", "'a' is there twice"),
    ("a.jsonl", "{}\n{\n", "a.jsonl line 2: no JSON"),
    ("a.jsonl", "[]\n", "a.jsonl line 1: it should be a JSON object"),
    ("a.xlsx", "", "a source is"),
  ],
)
def test_what_is_wrong_is_named(tmp_path, name, text, reason):
  with pytest.raises(errors.UserError, match=reason):
    list(tables.read(_write(tmp_path, name, text)))


def test_no_text(tmp_path):
  (tmp_path / "a.csv").write_bytes(b"a,b\n\xff,1\n")
  with pytest.raises(errors.UserError, match="cannot read"):
    list(tables.read(tmp_path / "a.csv"))
  with pytest.raises(errors.UserError, match="cannot read"):
    list(tables.read(tmp_path / "b.csv"))
