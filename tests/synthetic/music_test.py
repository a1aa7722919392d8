"""avqa: nine types in balance, none answered by what it should not be."""

import collections
import json

import numpy as np
import pytest

from tests.synthetic import guessing

# (modality, kind) -> ceilings of a guess from text, from sight, from hearing
# and sight suffices for the visual questions, hearing for the audio ones.
CEILINGS = {
  ("Audio", "Counting"): (0.45, 0.45, 1.0),
  ("Audio", "Comparative"): (0.6, 0.6, 1.0),
  ("Visual", "Counting"): (0.45, 1.0, 0.45),
  ("Visual", "Location"): (0.33, 1.0, 0.33),
  ("Audio-Visual", "Existential"): (0.6, 0.6, 0.62),
  ("Audio-Visual", "Counting"): (0.5, 0.5, 0.55),
  ("Audio-Visual", "Location"): (0.33, 0.6, 0.33),
  ("Audio-Visual", "Comparative"): (0.6, 0.6, 0.6),
  ("Audio-Visual", "Temporal"): (0.3, 0.45, 0.3),
}


@pytest.fixture(scope="module")
def pair():
  return guessing.plans("avqa", 1500)


def _types(plan):
  return [tuple(json.loads(record["type"])) for record in plan.records]


def test_all_types_are_asked(pair):
  for plan in pair:
    counts = collections.Counter(_types(plan))
    assert counts.keys() == CEILINGS.keys()
    assert min(counts.values()) > 0.03 * len(plan.records)


def test_guesses_stay_below_their_ceilings(pair):
  types = _types(pair[1])
  for number, modalities in enumerate(((), ("sight",), ("hearing",))):
    hits = guessing.hits(*pair, modalities)
    for kind, ceilings in CEILINGS.items():
      share = np.mean(
        [hit for hit, t in zip(hits, types, strict=True) if t == kind]
      )
      assert share <= ceilings[number], (kind, modalities)


def test_counts_follow_from_the_modality_that_is_asked(pair):
  types = _types(pair[1])
  for modality, kind in (("hearing", "Audio"), ("sight", "Visual")):
    hits = guessing.hits(*pair, (modality,))
    chosen = [t == (kind, "Counting") for t in types]
    assert hits[chosen].mean() > 0.95


def test_reasoning_ends_with_the_answer(pair):
  for record in pair[0].records[:200]:
    assert record["label"].endswith(f"<answer>{record['answer']}</answer>.")
    assert len(record["question"].split()) <= 15
