"""The architecture picture is that of the code."""

from tests import architecture_picture


def test_the_committed_picture_is_that_of_the_imports():
  drawn = architecture_picture.FILE.read_text(encoding="utf-8")
  assert drawn == architecture_picture.svg(), (
    "python -m tests.architecture_picture draws it anew"
  )


def test_a_chain_implies_an_edge():
  chain = {("a", "b"), ("b", "c"), ("a", "c"), ("d", "c")}
  assert architecture_picture.reduced(chain) == chain - {("a", "c")}
  assert architecture_picture.levels(chain) == {"a": 2, "b": 1, "c": 0, "d": 1}
