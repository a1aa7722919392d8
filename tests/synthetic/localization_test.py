"""Localisation: spans, and what one modality knows of them."""

import re

import numpy as np

from crab_jax.synthetic import localization
from tests.synthetic import guessing


def _blocks(text: str):
  """(tag, label, start, end) of every block."""
  found = re.findall(r"<(\w+)>([a-z]+), \((\d+) (\d+)\)</\1>", text)
  return [(tag, name, int(s), int(e)) for tag, name, s, e in found]


def test_ave_is_where_sight_and_hearing_agree():
  train, _ = guessing.plans("ave", 200)
  for record, job in zip(train.records, train.jobs[::2], strict=True):
    (thing,) = job.content.things
    text = record["label_content"]
    spans = [
      (int(s), int(e)) for s, e in re.findall(r"from (\d+) to (\d+)", text)
    ]
    seen, heard, both = spans
    assert thing.spans == (seen,)
    assert both == (max(seen[0], heard[0]), min(seen[1], heard[1]))
    assert both[0] < both[1]
    event = ("event", record["event"], *both)
    assert _blocks(text) == [event]
    assert (record["start_time"], record["end_time"]) == both
    assert min(seen + heard) >= 0
    assert max(seen + heard) <= localization.SECONDS


def test_one_modality_does_not_know_the_span_of_ave():
  pair = guessing.plans("ave", 1200)
  assert guessing.hits(*pair).mean() < 0.15
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
      assert f"{name} {start}-{end}" in truth["sight"]
      assert f"{name} {start}-{end}" in truth["hearing"]
    numbers.append(len(blocks))
  assert set(numbers) == {1, 2}
  assert 0.35 < np.mean(np.array(numbers) == 2) < 0.65


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
    assert 0.68 < first < 0.82  # three in four, whichever it is
    assert 0.68 < second < 0.82


def test_avvp_tells_sight_and_hearing_apart():
  train, _ = guessing.plans("avvp", 200)
  same = 0
  for record, truth in zip(train.records, train.truths, strict=True):
    (visual, audio) = _blocks(record["event"])
    assert _blocks(record["label_content"]) == [visual, audio]
    assert (visual[0], audio[0]) == ("visual", "audio")
    assert f"{visual[1]} {visual[2]}-{visual[3]}" in truth["sight"]
    assert f"{audio[1]} {audio[2]}-{audio[3]}" in truth["hearing"]
    same += visual[1] == audio[1]
  assert 70 < same < 130
