"""The report of a study on disk: pictures, numbers, words."""

import json

import pytest

from crab_jax.ablation import report
from tests.ablation import fake_runs

_GATES = {"ks": [0.9, 0.1], "meld": [0.2, 0.8], "cremad": [0.3, 0.7]}


def _number(run, task):
  """Joint training helps by a tenth, I-LoRA by two; reasoning by one more."""
  if run.label == task:
    return 0.3
  added = 0.1 if run.method == "lora" else 0.2
  return 0.3 + added + 0.1 * (run.targets == "reasoning")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  """A report on disk, and its folder."""
  out = tmp_path_factory.mktemp("report")
  made = fake_runs.results(_number, lambda c, t: 1 - _number(c, t), _GATES)
  return report.write(out, made.study, made.groups, made.runs), out


def test_the_pictures_of_the_report_are_there(written):
  path, out = written
  text = path.read_text()
  names = {picture.stem for picture in (out / "plots").iterdir()}
  assert {"shares", "gains_loss_answer", "scores_reasoning"} <= names
  assert {"pairs_score_ilora_e2", "distance_ilora_e2"} <= names
  assert {"reasoning_lora", "reasoning_ilora_e2"} <= names
  for name in names:
    assert f"![{name}](plots/{name}.png)" in text


def test_the_numbers_of_the_report(written):
  found = json.loads((written[1] / "report.json").read_text())
  assert found["scores"]["answer"]["ilora_e2"] == pytest.approx([0.5] * 3)
  assert (
    found["gains"]["answer/lora/score/samples"]
    == [pytest.approx([0.1] * 3)] * 2
  )
  assert found["parameters"] == {"lora": 100, "ilora_e2": 200}
  assert found["chance"] == dict.fromkeys(fake_runs.TASKS, 0.25)
  assert set(found["gates"]) == {"reasoning/ilora_e2", "answer/ilora_e2"}
  assert 0 < found["gates"]["answer/ilora_e2"]["within"] < 1
  assert found["pairs"]["ilora_e2/loss"]["gains"][0][0][0] is None
  line = found["headline"][0]
  assert line["positive"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_the_words_of_the_report(written):
  text = written[0].read_text()
  assert (
    "| score | same samples of the dataset | reasoning | lora | 100 |" in text
  )
  assert (
    "- ilora_e2 against lora, answer, score: better, mean gain +0.100" in text
  )
  assert "| action | ks | 0.250 | 0.300 | 0.400 | 0.500 |" in text
  assert "joint training: 6 (reasoning), 6 (answer) steps" in text
  assert "as counted: 1.20 to 1.20" in text
  assert (
    "- explicit reasoning against bare answers, lora, score: better, mean gain"
    " +0.100 [+0.100, +0.100]" in text
  )
