"""Options of a question: where they stand, and which one is meant."""

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import choices

_OPTIONS = ("dog", "two cats", "a car", "ten")


@pytest.mark.parametrize(
  ("text", "options"),
  [
    ("Which? ['dog', \"it's\"]. Choose.", ("dog", "it's")),
    ("Which? ('dog', 'cat')", ("dog", "cat")),
    ("Of ['a', 'b']: which? ['c', 'd']", ("c", "d")),
    ("How many? [1, 2, 3]", ("1", "2", "3")),
    ("Which? A. dog B. two cats C. a car", ("dog", "two cats", "a car")),
    ("Which?\n(A) dog\n(B) two cats", ("dog", "two cats")),
    ("Which?\nA: dog\nB: cat", ("dog", "cat")),
    ("Which one is it?", ()),
    ("A. Lone letter", ()),
    ("[1,2", ()),
  ],
)
def test_options_of_a_question(text, options):
  assert choices.of_question(text) == options


@pytest.mark.parametrize(
  ("label", "option"),
  [("two cats", "two cats"), ("1", "two cats"), ("9", "9"), ("cow", "cow")],
)
def test_the_true_option(label, option):
  assert choices.true_option(label, _OPTIONS) == option


def test_a_digit_that_is_an_option_is_that_option():
  assert choices.true_option("1", ("3", "2", "1")) == "1"
  assert choices.option("1", ("3", "2", "1")) == ("1", None)


@pytest.mark.parametrize(
  ("answer", "option", "took"),
  [
    ("Two cats.", "two cats", None),
    ("twocats", "two cats", "spacing"),
    ("10", "ten", "synonym"),
    ("B", "two cats", "option_letter"),
    ("1", "two cats", "option_position"),
    ("E", None, None),
    ("B and C", None, None),
    ("B two dogs", None, None),
    ("cow", None, None),
  ],
)
def test_an_option(answer, option, took):
  assert choices.option(answer, _OPTIONS) == (option, took)


_FORMS = (
  "{letter}", "({letter})", "{letter}.", "[{letter}]", "Option {letter}",
  "option {letter}: {text}", "{letter}) {text}", "{letter}, {text}",
  "{text} ({letter})", "Choice ({letter})", "Answer: {letter}", "{text}",
  "**{text}**", "{position}",
)  # fmt: skip


@hypothesis.given(
  position=st.integers(0, 3),
  form=st.sampled_from(_FORMS),
  upper=st.sampled_from((str, str.upper, str.lower)),
)
def test_every_way_to_name_an_option(position, form, upper):
  text = _OPTIONS[position]
  answer = form.format(letter="ABCD"[position], text=text, position=position)
  assert choices.option(upper(answer), _OPTIONS)[0] == text
