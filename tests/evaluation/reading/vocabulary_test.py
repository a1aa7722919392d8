"""Which texts are labels of a task."""

import dataclasses

from crab_jax.data import tasks
from crab_jax.evaluation.reading import vocabulary

_TABLE = tasks.Tasks()


def test_labels_of_references_classes_and_synonyms():
  known = vocabulary.of_references(_TABLE["avqa"], ["Violin"])
  assert known("violin") and known("2") and known("yes")
  assert not known("I hear nothing") and not known("")
  few = dataclasses.replace(_TABLE["ks"], classes=("tap dancing",))
  known = vocabulary.of_references(few, ["bowling"])
  assert known("tapdancing") and known("Bowling.") and not known("two")
  assert vocabulary.of_references(_TABLE["meld"], [])("happy")


def test_options_and_their_letters():
  known = vocabulary.of_options(("dog", "cat"))
  assert known("B") and known("cat") and not known("C") and not known("cow")
