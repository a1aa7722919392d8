"""The report: the three files, with and without records."""

import html.parser
import io
import json
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from crab_jax.data import records
from crab_jax.data import tasks
from crab_jax.evaluation import unified
from crab_jax.evaluation.report import anchors
from crab_jax.evaluation.report import files as report_files
from crab_jax.evaluation.scoring import scores

_TABLE = tasks.Tasks()

SHOWN = ("a2v", "avqa", "avvp", "s4", "avcap")


@pytest.fixture(scope="module")
def scored(fabricate):
  return {
    task: scores.score_rows(_TABLE[task], fabricate(task, [True, False] * 2))
    for task in SHOWN
  }


def _record(name):
  task = tasks.Tasks()[name.split("/")[0]]
  image, sound = io.BytesIO(), io.BytesIO()
  Image.new("RGB", (32, 32), "teal").save(image, "JPEG")
  wave = np.zeros(1600, np.float32)
  soundfile.write(sound, wave, 16000, format="FLAC", subtype="PCM_16")
  frames = [image.getvalue()] * (1 if task.kind == "image" else task.frames)
  return records.Record(
    id=name,
    task=task.name,
    split="test",
    row=0,
    status="ok",
    frames=frames,
    frame_seconds=[0.0] * len(frames),
    audio=sound.getvalue(),
    question={},
    target="",
    reference={},
    mask=b"",
    meta={},
  )


class _Page(html.parser.HTMLParser):
  """Collects what a page loads, and checks that its tags close."""

  _VOID = {"meta", "img", "br", "rect", "line"}

  def __init__(self, text):
    super().__init__()
    self.sources, self.stack, self.ids = [], [], set()
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    fields = dict(attributes)
    self.sources += [fields[k] for k in ("src", "href") if k in fields]
    self.ids.add(fields.get("id"))
    if tag not in self._VOID:
      self.stack.append(tag)

  def handle_startendtag(self, tag, attributes):
    pass

  def handle_endtag(self, tag):
    assert self.stack.pop() == tag


def test_the_whole_report(tmp_path, scored):
  artefacts = report_files.Artefacts(
    title="A test <of> all",
    about={"step": "7"},
    lookup=_record,
    metrics=[
      {"stage": "backbone", "step": i, "loss": 3 - i / 9} for i in range(9)
    ]
    + [{"stage": "backbone", "validation": 1}],
    gates={"decoder": np.full((len(tasks.Tasks()), 3), 1 / 3)},
    notes=["avqa: joined by order"],
  )
  path = report_files.write(tmp_path, scored, artefacts)
  page = _Page(path.read_text(encoding="utf-8"))
  assert page.stack == []
  # Nothing is loaded from anywhere: data inside, or a place in the page.
  assert all(s.startswith(("data:", "#")) for s in page.sources)
  assert {s[1:] for s in page.sources if s[0] == "#"} <= page.ids
  kinds = [s.split(";")[0] for s in page.sources if s.startswith("data:")]
  assert kinds.count("data:audio/mpeg") == 4 * len(SHOWN)
  assert kinds.count("data:image/jpeg") == 4 * len(SHOWN)
  text = (tmp_path / "report.md").read_text(encoding="utf-8")
  pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
  assert len(pictures) == 3 + 2 * len(SHOWN)
  assert all((tmp_path / picture).stat().st_size for picture in pictures)
  assert "avqa: joined by order" in text


def test_report_json(tmp_path, scored):
  report_files.write(tmp_path, scored)
  content = json.loads((tmp_path / "report.json").read_text())
  assert list(content["tasks"]) == list(SHOWN)
  for name, row in content["tasks"].items():
    assert row["value"] == scored[name].value
    assert {"metric", "chance", "n", "parse_failures"} <= row.keys()
  assert content["families"]["qa"]["tasks"] == 1


def test_scenes_of_all_tasks_stand_in_the_report(tmp_path, scored):
  summary = {
    "scenes": 2,
    "pairs": 4,
    "form": 1.0,
    "families": {"qa": {"score": 0.5, "own_test": 0.75}},
    "consistency": 0.875,
    "consistent": {"time": 0.875},
  }
  artefacts = report_files.Artefacts(unified=unified.Unified({}, summary))
  report_files.write(tmp_path, scored, artefacts)
  content = json.loads((tmp_path / "report.json").read_text())
  assert content["unified"] == summary
  for name in ("report.md", "report.html"):
    assert report_files.UNIFIED_PAGE in (tmp_path / name).read_text()
  assert "0.875" in (tmp_path / "report.md").read_text()
  assert (tmp_path / report_files.UNIFIED_PAGE).read_text().count("qa") == 1
  report_files.write(tmp_path / "without", scored)
  content = json.loads((tmp_path / "without/report.json").read_text())
  assert "unified" not in content
  assert not (tmp_path / "without" / report_files.UNIFIED_PAGE).exists()


def test_the_base_alone_stands_beside_the_adapter(tmp_path, scored):
  alone = {"a2v": 0.125, "s4": 0.0}
  artefacts = report_files.Artefacts(base_alone=alone)
  path = report_files.write(tmp_path, scored, artefacts)
  content = json.loads((tmp_path / "report.json").read_text())
  found = {
    name: row.get("base_alone") for name, row in content["tasks"].items()
  }
  assert found == {**dict.fromkeys(SHOWN), **alone}
  assert content["families"]["matching"]["base_alone"] == 0.125
  assert "base_alone" not in content["families"]["qa"]
  head, rule, *rows = report_files.table(scored, alone)
  columns = [cell.strip() for cell in head.split("|")]
  assert rule.count("|") == head.count("|")
  cells = {r.split("|")[2].strip(): r.split("|") for r in rows}
  column = columns.index("base alone")
  assert [cells[name][column].strip() for name in ("a2v", "s4", "avqa")] == [
    "0.125",
    "0.000",
    "—",
  ]
  text = path.read_text(encoding="utf-8")
  assert text.count('<th class="number">base alone</th>') == 1
  assert "base alone 0.12<" in text


def test_without_a_base_there_is_no_column(tmp_path, scored):
  path = report_files.write(tmp_path, scored)
  assert "base alone" not in path.read_text(encoding="utf-8")
  assert "base alone" not in (tmp_path / "report.md").read_text()
  assert "base_alone" not in (tmp_path / "report.json").read_text()


def test_without_records_there_are_no_pictures(tmp_path, scored):
  path = report_files.write(tmp_path, scored, report_files.Artefacts())
  page = _Page(path.read_text(encoding="utf-8"))
  assert not any("audio" in source for source in page.sources)
  assert not any((tmp_path / "samples").iterdir())


def test_anchors_have_a_source_or_no_value():
  for task in tasks.Tasks():
    for metric in {metric.title for metric in scores.METRICS.values()}:
      for model, row in anchors.of(task, metric).items():
        assert model in anchors.columns()
        assert 0 <= row["value"] <= 1
        assert row["source"]
