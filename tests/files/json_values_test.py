"""JSON that every reader takes."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax import files


def test_json_is_strict_and_complete(tmp_path):
  path = tmp_path / "file.json"
  files.write_json(path, {"é": "\ud800", "n": 1})
  assert path.read_text() == '{\n "é": "\\ud800",\n "n": 1\n}\n'
  assert json.loads(path.read_bytes()) == {"é": "\ud800", "n": 1}
  files.write_json_lines(path, [{"n": 1}, "–"])
  assert path.read_text() == '{"n": 1}\n"–"\n'


_UNDEFINED = [float("nan"), float("inf"), -float("inf"), np.float32("nan")]
_VALUES = st.recursive(
  st.none()
  | st.booleans()
  | st.integers()
  | st.text()
  | st.floats()
  | st.sampled_from([*_UNDEFINED, np.float32(0.5), np.int64(2)]),
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@hypothesis.given(_VALUES)
def test_every_json_is_strict_and_undefined_numbers_are_null(value):
  def refuse(word):
    raise AssertionError(word)

  def expected(value):
    if isinstance(value, dict):
      return {name: expected(item) for name, item in value.items()}
    if isinstance(value, list):
      return [expected(item) for item in value]
    if isinstance(value, float | np.number):
      return float(value) if np.isfinite(value) else None
    return value

  for data in (files.json_document(value), files.json_line(value)):
    # A lone surrogate cannot be read as UTF-8: it stands there escaped.
    assert json.loads(data, parse_constant=refuse) == expected(value)


def test_what_is_no_json_is_refused():
  with pytest.raises(TypeError):
    files.json_line({"n": object()})
