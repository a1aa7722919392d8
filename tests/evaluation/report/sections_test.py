"""What the report shows of one task."""

import pytest

from crab_jax.data import tasks
from crab_jax.evaluation.report import anchors
from crab_jax.evaluation.report import sections
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


@pytest.fixture
def section(fabricate):
  def make(task, rights=(True, False)):
    score = scores.score_rows(_TABLE[task], fabricate(task, list(rights)))
    return sections.section(score, None)

  return make


def test_facts_say_the_score_and_what_was_counted(section):
  found = section("ks")
  assert found.facts["accuracy"] == "0.500"
  assert found.facts["chance"].startswith("0.500 (always ")
  assert found.facts["official-compatible"] == "0.500 (n = 2, 0 dropped)"
  assert found.facts["n"] == "2" and found.facts["split"] == "test"


def test_official_numbers_have_words_and_a_dash_where_not_defined():
  row = {"id": "avcap/test/0", "text": None, "reference": {"text": "a dog"}}
  score = scores.score_rows(_TABLE["avcap"], [row], released=False)
  words = sections.section(score, None).facts["official-compatible"]
  assert words.startswith("0.000 (n = 0, 1 dropped; CIDEr —, ROUGE-L —")
  assert "METEOR is 1.5 with its exact and stem stages" in words
  assert "BLEU-1 —" in words


def test_numbers_are_apart_from_tables_and_the_matrix_is_a_plot(section):
  found = section("ks")
  assert {"accuracy", "UAR"} <= found.numbers.keys()
  assert [plot.alt for plot in found.plots] == ["confusion matrix"]
  assert found.tables == []
  (table, *_) = section("avqa").tables
  assert (table.title, table.columns) == ("by type", ["accuracy", "n"])
  assert all(len(values) == 2 for _, values in table.rows)


@pytest.mark.parametrize(
  ("task", "drawn"), [("s4", "image"), ("unav", "events"), ("ks", "")]
)
def test_a_legend_where_something_is_drawn(section, task, drawn):
  assert section(task).drawn == drawn


def test_the_worst_and_the_best_or_neither(section):
  assert [c.which for c in section("ks").cards] == ["worst", "best"]
  assert {c.which for c in section("ks", [True] * 4).cards} == {""}


def test_a_published_number_or_none_for_every_model(section):
  assert len(section("ks").published) == len(anchors.columns())
