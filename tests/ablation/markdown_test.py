"""The text of a report: what it may say."""

import dataclasses

import pytest

from crab_jax.ablation import markdown
from crab_jax.ablation import statistics
from tests.ablation import fake_runs


def test_rates_and_curves_have_tables_where_there_are_some():
  study = dataclasses.replace(
    fake_runs.STUDY,
    rates=(1e-3, 1e-2),
    rate_seeds=(9,),
    curves=("lora",),
    curve_samples=(60,),
  )

  def loss(run, task):
    return 0.5 if run.rate == 1e-2 else 1.0

  made = fake_runs.results(lambda *_: 0.5, loss, study=study)
  text = markdown.text(made, [], "plots")
  assert "| arm | 0.001 | 0.01 |" in text
  assert "| alone | +0.000 | **-0.693** |" in text
  assert "| lora | reasoning | 60 | 0.500 [0.500, 0.500] |" in text
  assert "tried for lora, ilora_e2, alone: a better one may lie beyond" in text
  wider = dataclasses.replace(study, rates=(1e-3, 1e-2, 1e-1))
  made = fake_runs.results(lambda *_: 0.5, loss, study=wider)
  assert "lie beyond" not in markdown.text(made, [], "plots")
  plain = fake_runs.results(lambda *_: 0.5, loss)
  text = markdown.text(plain, [], "plots")
  assert (
    "Learning rates" not in text and "samples of each dataset\n" not in text
  )


@pytest.mark.parametrize(
  ("low", "high", "seeds", "word"),
  [
    (0.1, 0.3, 3, "better"),
    (-0.3, -0.1, 3, "worse"),
    (-0.1, 0.3, 3, "no clear difference"),
    (0.2, 0.2, 1, "no verdict"),
  ],
)
def test_a_verdict_needs_an_interval_that_leaves_out_zero(
  low, high, seeds, word
):
  found = statistics.Interval((low + high) / 2, low, high)
  assert markdown._verdict(found, seeds).startswith(word)
