"""Localisation: spans, and what one modality knows of them."""

import re

import numpy as np

from crab_jax.synthetic import clips
from tests.synthetic import guessing

_MODALITIES = ("sight", "hearing")


def _span(features: list[str], name: str) -> tuple[int, int]:
  """When an instrument is seen or heard."""
  (found,) = re.findall(rf"{name} (\d+)-(\d+)", " ".join(features))
  return int(found[0]), int(found[1])


def _blocks(text: str):
  """(tag, label, start, end) of every block."""
  found = re.findall(r"<(\w+)>([a-z]+), \((\d+) (\d+)\)</\1>", text)
  return [(tag, name, int(s), int(e)) for tag, name, s, e in found]


def test_ave_is_where_sight_and_hearing_agree():
  train, _ = guessing.plans("ave", 200)
  for record, job in zip(train.records, train.jobs[::2], strict=True):
    (thing,) = (t for t in job.content.things if t.name == record["event"])
    text = record["label_content"]
    spans = [
      (int(s), int(e)) for s, e in re.findall(r"from (\d+) to (\d+)", text)
    ]
    seen, heard = spans
    both = record["start_time"], record["end_time"]
    assert thing.spans == (seen,)
    assert both == (max(seen[0], heard[0]), min(seen[1], heard[1]))
    assert both[0] < both[1]
    event = ("event", record["event"], *both)
    assert _blocks(text) == [event]
    assert (record["start_time"], record["end_time"]) == both
    assert min(seen + heard) >= 0
    assert max(seen + heard) <= clips.SECONDS


def test_one_modality_does_not_know_the_span_of_ave():
  pair = guessing.plans("ave", 1200)
  # Two events leave the first few seconds to move: one span is that likely.
  assert guessing.hits(*pair).mean() < 0.27
  assert guessing.hits(*pair, ("sight",)).mean() < 0.45
  assert guessing.hits(*pair, ("hearing",)).mean() < 0.45


def test_unav_events_are_what_is_both_seen_and_heard():
  train, _ = guessing.plans("unav", 200)
  numbers = []
  for record, truth in zip(train.records, train.truths, strict=True):
    blocks = _blocks(record["label_content"])
    events = [
      ("event", e["label"], e["start"], e["end"])
      for e in record["original_label"]
    ]
    assert blocks == events
    for _, name, start, end in blocks:
      spans = [_span(truth[modality], name) for modality in _MODALITIES]
      assert start == max(span[0] for span in spans)
      assert end == min(span[1] for span in spans)
    numbers.append(len(blocks))
  assert set(numbers) == {1, 2}
  assert 0.2 < np.mean(np.array(numbers) == 2) < 0.4


def test_one_modality_does_not_know_which_event_of_unav_is_real():
  train, _ = guessing.plans("unav", 400)
  kinds = {}
  for record, truth in zip(train.records, train.truths, strict=True):
    events = [e["label"] for e in record["original_label"]]
    for modality in ("sight", "hearing"):
      names = re.findall(r"(\w+) \d+-\d+", " ".join(truth[modality]))
      kinds.setdefault(modality, []).append([n in events for n in names])
  for pattern in kinds.values():
    first, second = np.mean(np.array(pattern), axis=0)
    assert 0.58 < first < 0.72  # two in three, whichever it is
    assert 0.58 < second < 0.72


def test_avvp_tells_sight_and_hearing_apart():
  train, _ = guessing.plans("avvp", 200)
  same = 0
  for record, truth in zip(train.records, train.truths, strict=True):
    blocks = _blocks(record["event"])
    assert _blocks(record["label_content"]) == blocks
    assert [it[0] for it in blocks] == ["visual", "visual", "audio", "audio"]
    for kind, name, *span in blocks:
      modality = _MODALITIES[kind == "audio"]
      assert _span(truth[modality], name) == tuple(span)
    same += [it[1] for it in blocks[:2]] == [it[1] for it in blocks[2:]]
  assert 40 < same < 80
