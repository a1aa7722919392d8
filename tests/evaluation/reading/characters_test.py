"""Full-width and escaped characters."""

import string

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import characters


@pytest.mark.parametrize(
  ("text", "plain"),
  [
    ("＜answer＞ｔｗｏ＜／answer＞", "<answer>two</answer>"),
    ("（３，７）", "(3,7)"),
    ("【1、2】", "[1,2]"),
    ("3〜7", "3~7"),
    ("&lt;answer&gt;a &amp; b", "<answer>a & b"),
    ("<\\/answer>", "</answer>"),
    ("a\u00a0b\u200bc\u3000d", "a bc d"),
  ],
)
def test_plain(text, plain):
  assert characters.plain(text) == plain


_ASCII = st.text("".join(set(string.printable) - {"&", "\\"}), max_size=40)


@hypothesis.given(text=_ASCII)
def test_ascii_stays_and_its_wide_form_becomes_it(text):
  assert characters.plain(text) == text
  wide = "".join(chr(ord(c) + 0xFEE0) if c > " " else c for c in text)
  assert characters.plain(wide) == text
