"""The page of the review, in a browser, by its keys."""

import base64
import dataclasses
import http.client
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from crab_jax import errors
from crab_jax.annotation import outputs
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation.checking import checks
from crab_jax.annotation.review import entries
from crab_jax.annotation.review import page_file
from crab_jax.annotation.review import session
from crab_jax.data import tasks
from crab_jax.data.media import pictures
from tests.annotation import sources

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_ROOT = pathlib.Path(__file__).resolve().parents[3]


def _inputs(folder):
  rows = [
    sources.row("meld", 0), sources.row("avvp", 1), sources.row("arig", 2),
    sources.row("ks", 0), sources.row("avqa", 1),
  ]  # fmt: skip
  lines = [
    (f"line {i}", {**row, "split": "train", "id": f"row{i}"})
    for i, row in enumerate(rows)
  ]
  found, faults = schema.parse(lines, tasks.Tasks())
  assert not faults
  return run.Inputs(
    found, faults, folder, folder / "out", tasks.Tasks(),
    settings_lib.Settings(require_review="all"),
  )  # fmt: skip


@pytest.fixture
def inputs(tmp_path):
  sources.write_media(tmp_path, 3)
  made = _inputs(tmp_path)
  run.annotate(made, lambda text: None)
  return made


@pytest.fixture
def address(inputs):
  """Of the page, served by the command."""
  child = subprocess.Popen(
    [sys.executable, "-m", "crab_jax.annotate", "--review", "--port=0",
     f"--out={inputs.out}"],
    stdout=subprocess.PIPE, text=True, cwd=_ROOT,
  )  # fmt: skip
  try:
    line = child.stdout.readline()
    yield re.search(r"http://\S+", line)[0]
  finally:
    child.terminate()
    child.wait()


def _decisions(inputs):
  path = inputs.out / "reviews.jsonl"
  lines = path.read_text().splitlines() if path.exists() else []
  return [json.loads(line) for line in lines]


def _page(browser, address, size=(1000, 760)):
  view = {"viewport": {"width": size[0], "height": size[1]}} if size else {}
  page = browser.new_page(**view)
  problems = []
  page.on("pageerror", lambda error: problems.append(error))
  page.goto(address)
  page.wait_for_function("document.body.dataset.row")
  return page, problems


def _wait(page, done):
  page.wait_for_function(f"document.body.dataset.done === '{done}'")


@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium")
def test_accept_edit_reject_and_undo_by_keys(inputs, address):
  """The file equals what was pressed, and is what gets built."""
  sync_api = pytest.importorskip("playwright.sync_api")
  with sync_api.sync_playwright() as play:
    browser = play.chromium.launch(
      executable_path=_CHROMIUM, args=["--no-sandbox"]
    )
    page, problems = _page(browser, address)
    order = []

    def row():
      return page.evaluate("document.body.dataset.row")

    order.append(row())
    page.keyboard.press("a")
    _wait(page, 1)
    order.append(row())
    page.keyboard.press("e")
    page.fill("textarea", "It is so, as the label says.")
    page.wait_for_selector("#findings li:has-text('told')")
    text = "The picture and the sound of this clip go together over its whole length."
    page.fill("textarea", text)
    page.wait_for_function("!document.querySelector('#findings li')")
    page.keyboard.press("Control+Enter")
    _wait(page, 2)
    order.append(row())
    page.keyboard.press("r")
    page.keyboard.press("2")
    _wait(page, 3)
    order.append(row())
    page.keyboard.press("l")
    _wait(page, 4)
    order.append(row())
    page.keyboard.press("a")
    _wait(page, 5)
    assert "All is reviewed" in page.inner_text("header")
    page.keyboard.press("u")
    _wait(page, 4)
    assert row() == order[4]
    assert problems == []
    browser.close()
  said = _decisions(inputs)
  assert [(d["id"], d["verdict"]) for d in said] == [
    (order[0], "accept"), (order[1], "edit"), (order[2], "reject"),
    (order[3], "label"), (order[4], "accept"), (order[4], "undo"),
  ]  # fmt: skip
  assert said[1]["text"] == text
  assert said[2]["reason"] == "invented"
  summary = run.annotate(inputs, lambda text: None)
  found = {
    row["id"]: row
    for path in inputs.out.glob("*/train.json")
    for row in json.loads(path.read_text())
  }
  assert set(found) == set(order[:2])
  assert text in json.dumps(found[order[1]])
  assert sorted(u["status"] for u in summary["unbuilt"]) == [
    "label_doubted", "rejected", "unreviewed",
  ]  # fmt: skip
  doubts = (inputs.out / outputs.DOUBTS).read_text()
  assert order[3] in doubts


def _session(inputs):
  return session.Session(
    inputs.out, inputs.out / run.STATE, tasks.Tasks(), "ann", 1.0
  )


def _get(address, path, body=None, key=True):
  url = urllib.parse.urlsplit(address)
  connection = http.client.HTTPConnection(url.netloc)
  query = f"?{url.query}" if key else ""
  method = "GET" if body is None else "POST"
  connection.request(method, f"{path}{query}", body)
  reply = connection.getresponse()
  data = reply.read()
  connection.close()
  return reply.status, data


def test_without_its_key_it_tells_and_takes_nothing(inputs, address):
  body = json.dumps({"id": "row0", "verdict": "accept"})
  for path, sent in (
    ("/", None), ("/rows", None), ("/media/video/row0", None),
    ("/check", body), ("/decide", body),
  ):  # fmt: skip
    assert _get(address, path, sent, key=False)[0] == 403, path
  for sent in ("x", "[]", "{}"):
    assert _get(address, "/decide", sent)[0] in (400, 403)
  assert _get(address, "/media/..%2f..%2fetc/row0")[0] in (403, 404)
  assert _decisions(inputs) == []
  assert (
    _get(address, "/media/video/row0")[1]
    == (inputs.media / "v0.mp4").read_bytes()
  )
  assert _get(address, "/decide", body)[0] == 200
  assert [d["verdict"] for d in _decisions(inputs)] == ["accept"]


def test_a_mask_of_run_lengths_is_shown(inputs):
  """By the server and in the file that is sent."""
  # m.png: white in rows 10 to 29 of columns 20 to 49; runs go down columns.
  runs = [48 * 20 + 10, *[20, 28] * 29, 20, 18 + 48 * 14]
  row = sources.row(
    "s4", 1, mask=json.dumps({"size": [48, 64], "counts": runs})
  )
  found, _ = schema.parse([("line 1", {**row, "id": "drawn"})], tasks.Tasks())
  inputs = dataclasses.replace(inputs, found=found, out=inputs.media / "masks")
  run.annotate(inputs, lambda text: None)
  opened = _session(inputs)
  shown = np.asarray(Image.open(opened.media("drawn", "mask")))
  assert "mask" in opened.shown()[0]["media"]
  mask = np.asarray(Image.open(inputs.media / "m.png"))
  np.testing.assert_array_equal(shown, mask)
  page_file.write(opened, inputs.media / "review.html", lambda text: None)
  text = (inputs.media / "review.html").read_text()
  (data,) = re.findall(r'"mask": "data:image/png;base64,([^"]+)"', text)
  sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
  np.testing.assert_array_equal(
    sent > 0, pictures.read_mask(inputs.media / "m.png")
  )


def test_checks_of_an_edit_know_the_language_of_its_text(inputs):
  path = inputs.out / run.STATE / entries.FILE
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  german = [{**line, "language": "de"} for line in lines]
  path.write_text("".join(f"{json.dumps(line)}\n" for line in german))
  text = "Der Ton ist laut und das Bild wird heller, so dass man es gut hört."
  codes = {one["code"] for one in _session(inputs).check("row3", text)}
  assert "language" not in codes
  assert {line["language"] for line in lines} == {"en"}


def test_checks_of_an_edit_know_the_events_beside_the_answer(inputs):
  row = sources.row("avqa", 1, id="row1", events="Dog@0-2;Car@1-3:audio")
  found, _ = schema.parse([("line 1", {**row, "split": "train"})], inputs.table)
  run.annotate(
    dataclasses.replace(inputs, found=found, out=inputs.media / "other"),
    lambda text: None,
  )
  state = inputs.media / "other" / run.STATE
  (entry,) = entries.read(state)
  assert "What is heard is Dog for 2 seconds, then" in entry["text"]
  known = entries.context(entry, inputs.table)
  assert [event.label for event in known.item.beside] == ["Dog", "Car"]
  assert "Car" in known.told
  said = "The Dog is seen from second {} to {} and a Car is heard near it."
  assert not checks.run(said.format(0, 2), known)
  assert [f.code for f in checks.run(said.format(3, 5), known)] == ["times"]
  said = "The Dog is seen at the start, then a Car is seen to drive off fast."
  assert [f.code for f in checks.run(said, known)] == ["modality"]


def test_an_edit_that_reads_as_another_answer_is_refused(inputs):
  opened = _session(inputs)
  for text in ("", "It is [1,2,3,4].", "<answer>x</answer>"):
    said = {"id": "row2", "verdict": "edit", "text": text}
    assert opened.decide(said)
  assert _decisions(inputs) == []


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium")
def test_a_page_that_was_sent_decides_without_a_server(inputs, tmp_path):
  """Decisions outlive the browser; what it saves is merged, once."""
  sync_api = pytest.importorskip("playwright.sync_api")
  path = tmp_path / "review.html"
  page_file.write(_session(inputs), path, lambda text: None)
  text = "The picture and the sound of this clip go together all the time."
  order = [entry["id"] for entry in _session(inputs).queue]
  with sync_api.sync_playwright() as play:
    kept = play.chromium.launch_persistent_context(
      str(tmp_path / "profile"), executable_path=_CHROMIUM,
      args=["--no-sandbox"],
    )  # fmt: skip
    page, problems = _page(kept, path.as_uri(), None)
    page.keyboard.press("a")
    page.wait_for_selector("#problem:has-text('Write your name')")
    page.fill("#reviewer", "bea")  # holds keys that decide elsewhere
    page.locator("#reviewer").blur()
    page.keyboard.press("a")
    _wait(page, 1)
    page.keyboard.press("e")
    page.fill("textarea", "It is at [1,2,3,4].")
    page.wait_for_selector("#findings li:has-text('marks')")
    page.fill("textarea", text)
    page.keyboard.press("Control+Enter")
    _wait(page, 2)
    page.wait_for_function(
      "[...document.querySelectorAll('video, audio')].every("
      "(p) => p.readyState > 1 && p.duration > 0)"
    )
    page.close()
    page, more = _page(kept, path.as_uri(), None)
    _wait(page, 2)
    page.keyboard.press("r")
    page.keyboard.press("1")
    _wait(page, 3)
    page.keyboard.press("u")
    _wait(page, 2)
    with page.expect_download() as saved:
      page.click("#save")
    saved.value.save_as(tmp_path / "reviews.jsonl")
    assert problems == more == []
    kept.close()
  said = []
  for _ in range(2):
    page_file.merge(
      _session(inputs), inputs.out, tmp_path / "reviews.jsonl", said.append
    )
  assert said[0].endswith("4 new decisions, 0 were there")
  assert said[1].endswith("0 new decisions, 4 were there")
  assert [(d["id"], d["verdict"], d["reviewer"]) for d in _decisions(inputs)] == [
    (order[0], "accept", "bea"), (order[1], "edit", "bea"),
    (order[2], "reject", "bea"), (order[2], "undo", "bea"),
  ]  # fmt: skip
  summary = run.annotate(inputs, lambda text: None)
  assert {u["status"] for u in summary["unbuilt"]} == {"unreviewed"}
  assert sum(u["rows"] for u in summary["unbuilt"]) == 3
  built = "".join(p.read_text() for p in inputs.out.glob("*/train.json"))
  assert text in built


def test_a_page_that_cannot_be_written_is_named(inputs, tmp_path):
  opened = _session(inputs)
  (tmp_path / "file").write_text("")
  with pytest.raises(errors.UserError, match=r"cannot write .*review\.html"):
    page_file.write(opened, tmp_path / "file" / "review.html")


def _line(entry, **more):
  return {
    "id": entry["id"], "hash": entry["hash"], "verdict": "accept", "text": "",
    "reason": "", "reviewer": "bea", "time": 1.5, **more,
  }  # fmt: skip


def test_decisions_that_cannot_be_taken_are_told(inputs, tmp_path):
  opened = _session(inputs)
  first, second, *_ = opened.queue
  made = [
    _line(first, id="gone"),
    _line(first, verdict="edit", text="See <answer>x</answer> and [1,2,3,4]."),
    _line(second, verdict="maybe"),
    _line(second),
  ]
  path = tmp_path / "some.jsonl"
  path.write_text("".join(f"{json.dumps(line)}\n" for line in made))
  said = []
  page_file.merge(opened, inputs.out, path, said.append)
  assert said[0].endswith("1 new decisions, 0 were there")
  assert said[1].startswith("3 decisions are not taken: gone: no such row")
  assert _decisions(inputs) == [_line(second)]


@pytest.mark.parametrize(
  "text",
  ["{", "[]", "{}", '{"id": 1}', json.dumps({**_line({"id": 1, "hash": ""})})],
)
def test_a_file_that_the_page_did_not_save_changes_nothing(
  inputs, tmp_path, text
):
  opened = _session(inputs)
  path = tmp_path / "some.jsonl"
  path.write_text(f"{json.dumps(_line(opened.queue[0]))}\n{text}\n")
  with pytest.raises(errors.UserError, match=r"some\.jsonl line 2 is no deci"):
    page_file.merge(opened, inputs.out, path)
  assert _decisions(inputs) == []
