"""Wrappings of a label, alone and within each other."""

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import label_text


@pytest.mark.parametrize(
  ("text", "label", "names"),
  [
    ("two", "two", set()),
    ("The answer is two.", "two", {"answer_phrase"}),
    ("Answer: B", "B", {"answer_phrase"}),
    ("So, the correct answer is: two", "two", {"answer_phrase"}),
    ("I think that the answer is two!", "two", {"answer_phrase"}),
    ("It's two", "two", {"answer_phrase"}),
    ("**Final answer:** two", "two", {"answer_phrase", "markdown"}),
    ("`two`", "two", {"markdown"}),
    ("## two", "two", {"markdown"}),
    ("$\\boxed{\\text{two}}$", "two", {"latex"}),
    ('{"answer": "two"}', "two", {"json"}),
    ("violin_fiddle", "violin_fiddle", set()),
    ("answering a phone", "answering a phone", set()),
  ],
)
def test_unwrap(text, label, names):
  assert label_text.unwrap(text) == (label, names)


def test_a_long_text_is_no_label():
  text = "The answer is " + "x" * 500
  assert label_text.unwrap(text) == (text, set())


def test_boxed():
  assert label_text.boxed(r"so \boxed{two} or \boxed{\text{one}}") == [
    "two",
    r"\text{one}",
  ]
  assert label_text.boxed(r"\boxed{two") == []


_WRAPPINGS = (
  "The answer is {}.", "answer: {}", "**{}**", "`{}`", "\\boxed{{{}}}",
  "$\\text{{{}}}$", '{{"answer": "{}"}}', "# {}", '"{}"', "It is {}",
)  # fmt: skip


@hypothesis.given(
  label=st.sampled_from(("two", "playing drums", "B", "more than ten")),
  layers=st.lists(st.sampled_from(_WRAPPINGS), max_size=3),
)
def test_wrappings_come_off_in_any_order(label, layers):
  text = label
  for layer in layers:
    text = layer.format(text)
  assert label_text.unwrap(text)[0] == label
