"""Pieces of text are final, and together they are the whole."""

import json

import pytest

from crab_jax.serving import streaming

_TEXT = "  Glocke 東京 🎷 läutet.\n\nEnde <answer>ja</answer> "


def _decode(ids):
  """Ids are bytes, as those of a byte-level vocabulary."""
  return bytes(ids).decode(errors="replace")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("stops", [(), ("<answer>",), ("Ende X", "zzz")])
def test_pieces_are_the_whole_wherever_they_are_cut(size, stops):
  ids, found = _TEXT.encode(), streaming.Detokeniser(_decode, stops)
  pieces = [found.add(ids[i : i + size]) for i in range(0, len(ids), size)]
  pieces.append(found.finish())
  expected = _TEXT.strip()
  if found.stopped:
    expected = expected.partition(stops[0])[0].rstrip()
  assert found.stopped == (stops == ("<answer>",))
  assert "".join(pieces) == found.text == expected
  assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_that_never_ends_is_shown_at_the_end():
  found = streaming.Detokeniser(_decode)
  assert found.add("東".encode()[:2]) == ""
  assert found.finish() == "\ufffd"


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_the_reasoning_comes_before_the_answer(size):
  text = "I see a bell. It rings loudly. <answer>yes</answer>."
  splitter = streaming.Splitter(lambda t: t[t.find("<answer>") :])
  pieces = [
    piece
    for i in range(0, len(text), size)
    for piece in splitter.add(text[i : i + size])
  ]
  early = "".join(piece.text for piece in pieces)
  assert all(piece.is_reasoning for piece in pieces)
  assert early.startswith("I see a bell. ")
  pieces += splitter.finish()
  said = {
    side: "".join(p.text for p in pieces if p.is_reasoning == side)
    for side in (True, False)
  }
  assert said[True] == "I see a bell. It rings loudly. "
  assert said[False] == "<answer>yes</answer>."


def test_an_event_is_one_line_of_json():
  data = streaming.event({"a": "x\ny", "b": float("nan")})
  assert data.startswith(b"data: ") and data.endswith(b"\n\n")
  assert data.count(b"\n") == 2
  assert json.loads(data[6:]) == {"a": "x\ny", "b": None}
