"""The HTML page: what stands where."""

import re

from crab_jax.data import tasks
from crab_jax.evaluation.report import anchors
from crab_jax.evaluation.report import overview
from crab_jax.evaluation.report import page
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()


def _render(*scored):
  found = {score.task: score for score in scored}
  return page.render(found, overview.Artefacts(), {})


def _labels(task, pairs):
  rows = [
    {
      "id": f"{task}/test/{i}",
      "text": f"<answer>{said}</answer>",
      "reference": {"text": f"<answer>{true}</answer>"},
    }
    for i, (said, true) in enumerate(pairs)
  ]
  return scores.score_rows(_TABLE[task], rows)


def test_a_family_stands_once_beside_its_tasks(fabricate):
  html = _render(
    *(
      scores.score_rows(_TABLE[t], fabricate(t, [True]))
      for t in ("ks", "ucf", "arig")
    )
  )
  assert html.count('<td class="family" rowspan="2">action') == 1
  assert html.count('<td class="family" rowspan="1">segmentation') == 1
  assert "mean 1.000" in html


def test_a_published_number_has_its_source_and_an_unknown_one_a_dash(
  fabricate, monkeypatch
):
  known = {"Crab": {"value": 0.5, "source": "a paper, table 9"}}
  monkeypatch.setattr(
    anchors, "of", lambda task, metric: known if task == "ks" else {}
  )
  html = _render(
    *(
      scores.score_rows(_TABLE[task], fabricate(task, [True]))
      for task in ("ks", "ucf")
    )
  )
  assert html.count('title="a paper, table 9">0.500<') == 1
  others = 2 * len(anchors.columns()) - 1
  assert html.count('<td class="number unknown">—</td>') == others


def test_of_many_classes_the_commonest_mistakes_are_listed():
  right = [(f"class {i}", f"class {i}") for i in range(50)]
  wrong = [("class 1", "class 2")] * 3 + [("class 3", "class 4")]
  html = _render(_labels("ucf", right + wrong))
  assert 'alt="confusion matrix"' not in html
  rows = re.findall(r"<td>(class [^<]*) → ([^<]*)</td><td[^>]*>(\d+)<", html)
  assert rows == [("class 2", "class 1", "3"), ("class 4", "class 3", "1")]
  assert 'alt="confusion matrix"' in _render(_labels("ucf", right[:9]))


def test_the_ten_numbers_of_llp_are_a_table(fabricate):
  html = _render(
    scores.score_rows(_TABLE["avvp"], fabricate("avvp", [True] * 3))
  )
  names = ("A", "V", "AV", "Type@AV", "Event@AV")
  head = "".join(f'<th class="number">{name}</th>' for name in names)
  assert html.count(head) == 2  # and under the official conventions


def test_samples_that_are_all_alike_are_neither_worst_nor_best(fabricate):
  html = _render(scores.score_rows(_TABLE["ks"], fabricate("ks", [True] * 4)))
  assert "worst" not in html and "best</small>" not in html
  html = _render(
    scores.score_rows(_TABLE["ks"], fabricate("ks", [True, False] * 2))
  )
  assert "<small>worst</small>" in html and "<small>best</small>" in html
