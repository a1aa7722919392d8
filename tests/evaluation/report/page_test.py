"""The HTML page: what is shown where, and that texts of others stay texts."""

import html.parser
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
  text = _render(
    *(
      scores.score_rows(_TABLE[t], fabricate(t, [True]))
      for t in ("ks", "ucf", "arig")
    )
  )
  assert text.count('<td class="family" rowspan="2">action') == 1
  assert text.count('<td class="family" rowspan="1">segmentation') == 1
  assert "mean 1.000" in text


def test_a_published_number_has_its_source_and_an_unknown_one_a_dash(
  fabricate, monkeypatch
):
  known = {"Crab": {"value": 0.5, "source": "a paper, table 9"}}
  monkeypatch.setattr(
    anchors, "of", lambda task, metric: known if task == "ks" else {}
  )
  text = _render(
    *(
      scores.score_rows(_TABLE[task], fabricate(task, [True]))
      for task in ("ks", "ucf")
    )
  )
  assert text.count('title="a paper, table 9">0.500<') == 1
  others = 2 * len(anchors.columns()) - 1
  assert text.count('<td class="number unknown">—</td>') == others


def test_of_many_classes_the_commonest_mistakes_are_listed():
  right = [(f"class {i}", f"class {i}") for i in range(50)]
  wrong = [("class 1", "class 2")] * 3 + [("class 3", "class 4")]
  text = _render(_labels("ucf", right + wrong))
  assert 'alt="confusion matrix"' not in text
  rows = re.findall(r"<td>(class [^<]*) → ([^<]*)</td><td[^>]*>(\d+)<", text)
  assert rows == [("class 2", "class 1", "3"), ("class 4", "class 3", "1")]
  assert 'alt="confusion matrix"' in _render(_labels("ucf", right[:9]))


def test_the_ten_numbers_of_llp_are_a_table(fabricate):
  text = _render(
    scores.score_rows(_TABLE["avvp"], fabricate("avvp", [True] * 3))
  )
  names = ("A", "V", "AV", "Type@AV", "Event@AV")
  head = "".join(f'<th class="number">{name}</th>' for name in names)
  assert text.count(head) == 2  # and under the official conventions


def test_samples_that_are_all_alike_are_neither_worst_nor_best(fabricate):
  text = _render(scores.score_rows(_TABLE["ks"], fabricate("ks", [True] * 4)))
  assert "worst" not in text and "best</small>" not in text
  text = _render(
    scores.score_rows(_TABLE["ks"], fabricate("ks", [True, False] * 2))
  )
  assert "<small>worst</small>" in text and "<small>best</small>" in text


_SCRIPT = "<script>alert(1)</script>"
_QUOTES = "'\"><img src=x onerror=alert(1)>"


class _Elements(html.parser.HTMLParser):
  """Collects the names of elements and attributes, and the text."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.attributes, self.ids, self.words = set(), set(), set(), ""
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.attributes |= {name for name, _ in attrs}
    self.ids |= {value for name, value in attrs if name == "id"}

  def handle_data(self, data):
    self.words += data


def test_texts_of_others_stay_texts():
  row = {
    "id": f"ks/test/{_QUOTES}",
    "text": f"{_SCRIPT} I think <answer>{_QUOTES}</answer>",
    "question": {"question": _SCRIPT},
    "reference": {"text": f"<answer>{_SCRIPT}</answer>"},
  }
  failed = {**row, "id": "ks/test/2", "text": None, "error": _SCRIPT}
  event = {
    "id": f"unav/test/{_QUOTES}",
    "text": f"<event>{_QUOTES}, (0 3)</event>",
    "reference": {"text": f"<event>{_SCRIPT}, (0 3)</event>"},
  }
  found = {
    "ks": scores.score_rows(_TABLE["ks"], [row, failed]),
    "unav": scores.score_rows(_TABLE["unav"], [event]),
  }
  artefacts = overview.Artefacts(
    title=_SCRIPT, about={_SCRIPT: _QUOTES}, notes=[_SCRIPT]
  )
  elements = _Elements(page.render(found, artefacts, {}))
  assert "script" not in elements.tags
  assert not any(name.startswith("on") for name in elements.attributes)
  assert f"{_SCRIPT} I think {_QUOTES}" in elements.words
  assert f"no text ({_SCRIPT})" in elements.words
  assert f"ks/test/{_QUOTES}" in elements.words


def test_tags_of_an_answer_are_marked_and_their_text_is_escaped(fabricate):
  rows = fabricate("ks", [True])
  rows[0]["text"] = "so <answer>playing <b>drums</answer>"
  text = _render(scores.score_rows(_TABLE["ks"], rows))
  assert "so <mark>playing &lt;b&gt;drums</mark></p>" in text


def test_a_timeline_is_drawn_and_explained(fabricate):
  text = _render(scores.score_rows(_TABLE["unav"], fabricate("unav", [True])))
  assert '<svg class="timeline"' in text and text.count("<rect") >= 2
  assert "filled is true, outlined is answered" in text


def test_a_link_leads_into_the_page(fabricate):
  text = _render(scores.score_rows(_TABLE["ks"], fabricate("ks", [True])))
  links = set(re.findall(r'href="#([^"]*)"', text))
  assert links <= _Elements(text).ids
