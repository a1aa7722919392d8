"""Labels with intervals in a text: every format, and which leniency it needs."""

import pytest

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
      "<event>dog, (3 3)(4 2)(1 2)</event>",
      [("dog", 1, 2, "both")],
      ("bad_interval_dropped",),
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
  needed = set()
  events, failure = intervals.read(text, needed)
  found = [(e.label, e.start, e.end, e.modality) for e in events]
  assert found == spans
  assert (tuple(sorted(needed)), failure) == (leniency, None)


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
  assert intervals.read(text, set()) == ([], failure)


def test_many_ranges_behind_one_block_stay_short():
  text = "<event>dog</event>" + "<range>0,8</range>" * 5000
  events, _ = intervals.read(text, set())
  assert len(events) < 40  # of 5000: 200 characters hold so many
