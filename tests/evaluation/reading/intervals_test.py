"""Labels with intervals in a text: every format, and which leniency it needs."""

import hypothesis
import pytest
from hypothesis import strategies as st

from crab_jax.evaluation.reading import intervals


@pytest.mark.parametrize(
  ("text", "spans", "leniency"),
  [
    (
      "<event>Violin, fiddle, (0 10)</event>",
      [("Violin, fiddle", 0, 10, "both")],
      (),
    ),
    (
      "<event>dog,(1 2)(3,4)[5,6]</event> <event>cat, (0 1)</event>",
      [
        ("dog", 1, 2, "both"),
        ("dog", 3, 4, "both"),
        ("dog", 5, 6, "both"),
        ("cat", 0, 1, "both"),
      ],
      (),
    ),
    (
      "<visual>Frying (food), (0 3)</visual> <audio>dog,(3 4)</audio>",
      [("Frying (food)", 0, 3, "visual"), ("dog", 3, 4, "audio")],
      (),
    ),
    ("<event>dog (0 3)</event>", [("dog", 0, 3, "both")], ("no_comma",)),
    (
      "<event>dog, (0.5s - 3 s)</event>",
      [("dog", 0.5, 3, "both")],
      ("interval_style",),
    ),
    (
      "<Event>dog, (0 3)</event>",
      [("dog", 0, 3, "both")],
      ("tag_style",),
    ),
    ("<event>dog, (0 3)", [("dog", 0, 3, "both")], ("unclosed",)),
    (
      "<event>dog, (-2 3)</event>",
      [("dog", 0, 3, "both")],
      ("clamped", "interval_style"),
    ),
    (
      "<event>dog, (3 7), (8 9)</event>",
      [("dog", 3, 7, "both"), ("dog", 8, 9, "both")],
      ("interval_style",),
    ),
    (
      "<event>dog (3 7), cat (8 9) and cow (0 1)</event>",
      [("dog", 3, 7, "both"), ("cat", 8, 9, "both"), ("cow", 0, 1, "both")],
      ("interval_style", "no_comma", "several_labels"),
    ),
    (
      "<event>(3 7) dog; (8 9) cat</event>",
      [("dog", 3, 7, "both"), ("cat", 8, 9, "both")],
      ("interval_style", "label_behind"),
    ),
    (
      "<event>dog, (3 7)</event><event>cat, from 8 to 9</event>",
      [("dog", 3, 7, "both"), ("cat", 8, 9, "both")],
      ("interval_style",),
    ),
    (
      "is <event> Male speech, man </event> at <range> 0,8 </range>.",
      [("Male speech, man", 0, 8, "both")],
      ("interval_style", "range_tag"),
    ),
    ("<event>none</event>", [], ()),
    ("<event></event>", [], ()),
  ],
)
def test_read(text, spans, leniency):
  needed, unread = set(), []
  events, failure = intervals.read(text, needed, unread)
  found = [(e.label, e.start, e.end, e.modality) for e in events]
  assert found == spans
  assert (tuple(sorted(needed)), failure) == (leniency, None)
  assert unread == []


@pytest.mark.parametrize(
  ("text", "failure"),
  [
    ("a dog barks", "no_event"),
    ("</event>", "no_event"),
    ("<event>a dog</event>", "no_interval"),
    ("<event>, (0 3)</event>", "no_interval"),
  ],
)
def test_a_text_without_events_says_why(text, failure):
  assert intervals.read(text, set(), []) == ([], failure)


@pytest.mark.parametrize(
  ("text", "spans", "unread"),
  [
    # An event without a length: a false positive, not nothing.
    ("<event>dog, (7 7)(1 2)</event>", [(7, 7), (1, 2)], "empty_interval"),
    ("<event>dog, (7 3)(1 2)</event>", [(7, 3), (1, 2)], "reversed_interval"),
    ("<event>dog, (1 2) cat</event>", [(1, 2)], "no_interval"),
    ("<event>dog, (1 2)</event><event>cat</event>", [(1, 2)], "no_interval"),
    ("<event>dog, (1 2)</event><event>(3 4)</event>", [(1, 2)], "no_label"),
    (
      "<event>dog, (1 2)</event> cat, (3 4)",
      [(1, 2)],
      "interval_outside_tags",
    ),
    (
      "<event>none</event><event>dog, (1 2)</event>",
      [(1, 2)],
      "none_beside_events",
    ),
    (
      "cat, (3 4)</event> <event>dog, (1 2)</event>",
      [(1, 2)],
      "stray_closing_tag",
    ),
    (
      "<range>3,4</range> <event>dog, (1 2)</event>",
      [(1, 2)],
      "range_without_event",
    ),
  ],
)
def test_what_is_not_read_is_named(text, spans, unread):
  names = []
  events, failure = intervals.read(text, set(), names)
  assert [(e.start, e.end) for e in events] == spans
  assert (names, failure) == ([unread], None)


def test_only_events_without_a_length_are_no_answer():
  events, failure = intervals.read("<event>dog, (7 7)</event>", set(), [])
  assert (len(events), failure) == (1, "no_interval")


_LABELS = st.sampled_from(("dog", "Violin, fiddle", "Frying_(food)", "cat"))
_SPANS = st.tuples(st.integers(0, 60), st.integers(0, 60))
_EXACT = st.sampled_from(("({} {})", "({},{})", "[{},{}]"))
_FORMS = st.sampled_from(
  ("({} {})", "({}s-{}s)", "from {} to {}", "0:{:02} to 0:{:02}", "{}", "")
)


def _block(label, span, form):
  return f"<event>{label}, {form.format(*span)}</event>"


_BLOCKS = st.builds(_block, _LABELS, _SPANS, _FORMS)


@hypothesis.given(
  st.lists(st.tuples(_LABELS, _SPANS, _EXACT), min_size=1, max_size=5)
)
def test_the_official_form_reads_back_and_is_never_lenient(parts):
  parts = [(label, sorted(span), form) for label, span, form in parts]
  parts = [(n, (a, b + 1), form) for n, (a, b), form in parts]
  needed, unread = set(), []
  text = "I see it. " + " ".join(_block(*part) for part in parts) + "."
  events, failure = intervals.read(text, needed, unread)
  assert [(e.label, (e.start, e.end)) for e in events] == [
    (label, span) for label, span, _ in parts
  ]
  assert (needed, unread, failure) == (set(), [], None)


@hypothesis.given(st.lists(_BLOCKS, max_size=4), _BLOCKS, st.data())
def test_whatever_is_said_further_is_counted(blocks, further, data):
  where = data.draw(st.integers(0, len(blocks)))
  more = [*blocks[:where], further, *blocks[where:]]

  def count(parts):
    unread = []
    events, _ = intervals.read(" ".join(parts), set(), unread)
    return len(events) + len(unread)

  assert count(more) > count(blocks)


@hypothesis.given(st.lists(_SPANS, min_size=1, max_size=6))
def test_every_interval_of_a_block_is_an_event(spans):
  text = "<event>dog, " + "".join("({} {})".format(*s) for s in spans)
  unread = []
  events, _ = intervals.read(f"{text}</event>", set(), unread)
  assert [(e.start, e.end) for e in events] == spans
  assert len(unread) == sum(start >= end for start, end in spans)


def test_many_ranges_behind_one_block_stay_short():
  text = "<event>dog</event>" + "<range>0,8</range>" * 5000
  events, _ = intervals.read(text, set(), [])
  assert len(events) < 40  # of 5000: 200 characters hold so many
