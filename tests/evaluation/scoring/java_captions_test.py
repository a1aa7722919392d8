"""The released programs, where they are; and what is said where not."""

import importlib.util
import json
import pathlib
import sys

import pytest

from crab_jax.evaluation.scoring import java_captions

_GOLDEN = pathlib.Path(__file__).parent / "captions_golden.json"


def test_the_message_says_what_is_missing(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(java_captions.Unavailable, match="pip install"):
    java_captions.tokens(["a dog"])
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
  for java in ("no-such-program", "false"):  # not there, and failing
    monkeypatch.setattr(java_captions, "_JAVA", (java,))
    with pytest.raises(java_captions.Unavailable, match="no java"):
      java_captions.meteor([["a"]], [["a"]])


@pytest.fixture
def package(tmp_path, monkeypatch):
  """A package of the name whose programs lower the case, and fail for "x"."""
  for name, text in {
    "tokenizer/ptbtokenizer.py": """
class PTBTokenizer:
  def tokenize(self, captions):
    texts = {i: found[0]["caption"] for i, found in captions.items()}
    assert not any("x" in t or len(t.splitlines()) > 1 for t in texts.values())
    return {i: [text.lower()] for i, text in texts.items()}
""",
    "meteor/meteor.py": """
class Meteor:
  def compute_score(self, true, said):
    assert not any("x" in said[i][0] for i in said)
    return 0.5, [float(true[i] == said[i]) for i in true]
""",
    "spice/__init__.py": "",
    "spice/spice.py": """
class Spice:
  def compute_score(self, true, said):
    assert not any("x" in said[i][0] for i in said)
    return 0.5, [{"All": {"f": float(true[i] == said[i])}} for i in true]
""",
  }.items():
    path = tmp_path / "pycocoevalcap" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(java_captions, "_JAVA", ("true",))
  for name in [name for name in sys.modules if name.startswith("pycocoeval")]:
    monkeypatch.delitem(sys.modules, name)
  yield tmp_path / "pycocoevalcap"
  for name in [name for name in sys.modules if name.startswith("pycocoeval")]:
    del sys.modules[name]


def test_texts_are_handed_over_and_taken_back(package):
  # Every kind of white space, as the tokenizer takes a text a line.
  found = java_captions.tokens(["A\ndog\u2028barks", "", "B"])
  assert found == [["a", "dog", "barks"], [], ["b"]]
  assert java_captions.meteor([["a"], ["b"]], [["a"], ["c"]]) == [1, 0]


def test_a_program_that_fails_is_unavailable(package):
  with pytest.raises(java_captions.Unavailable, match="tokenizer failed"):
    java_captions.tokens(["x"])
  with pytest.raises(java_captions.Unavailable, match="METEOR failed"):
    java_captions.meteor([["x"]], [["x"]])


def test_spice_runs_only_where_its_models_are(package):
  with pytest.raises(java_captions.Unavailable, match="get_stanford_models"):
    java_captions.spice([["a"]], [["a"]])
  for name in java_captions._MODELS:
    (package / "spice" / "lib").mkdir(exist_ok=True)
    (package / "spice" / "lib" / name).write_bytes(b"")
  assert java_captions.spice([["a"], ["b"]], [["a"], ["c"]]) == [1, 0]
  with pytest.raises(java_captions.Unavailable, match="SPICE failed"):
    java_captions.spice([["x"]], [["x"]])


@pytest.mark.slow  # METEOR takes 10 seconds to start
def test_the_released_programs():
  pytest.importorskip("pycocoevalcap", reason="needs crab_jax[captions]")
  try:
    java_captions.require()
  except java_captions.Unavailable as error:
    pytest.skip(str(error))
  pairs = json.loads(_GOLDEN.read_text())["pairs"]
  true = java_captions.tokens([pair["reference"] for pair in pairs])
  said = java_captions.tokens([pair["hypothesis"] for pair in pairs])
  for pair, *found in zip(pairs, true, said, strict=True):
    assert [" ".join(words) for words in found] == pair["tokens"]
  values = java_captions.meteor(true, said)
  expected = [pair["meteor"] for pair in pairs]
  assert values == pytest.approx(expected, abs=1e-6)
