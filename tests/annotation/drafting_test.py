"""Reasoning by a teacher: every fault, the budget, kills, batches."""

import base64
import io
import json
import os
import random
import signal
import subprocess
import sys
import time

import av
import pytest

from crab_jax import errors
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation.review import entries
from crab_jax.annotation.review import reviews
from crab_jax.annotation.teaching import sending
from crab_jax.data import tasks
from tests.annotation import sources
from tests.annotation import stub_teacher

_QUICK = settings_lib.Transport(timeout=5.0, workers=3)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
  folder = tmp_path_factory.mktemp("media")
  sources.write_media(folder, 3)
  return folder


def _inputs(media, out, url, rows=6, transport=_QUICK, batch=None, **teaching):
  names = ("ks", "meld", "ave", "avqa", "arig", "avvp")
  # All rows share their media: in one split, training.
  lines = [
    (f"line {i}", {**sources.row(names[i % 6], i % 3), "split": "train"})
    for i in range(rows)
  ]
  found, faults = schema.parse(lines, tasks.Tasks())
  assert not faults
  return run.Inputs(
    found,
    faults,
    media,
    out,
    tasks.Tasks(),
    settings_lib.Settings(writer="teacher"),
    settings_lib.Teaching(url, "stub", **teaching),
    transport,
    batch,
  )


def _run(inputs):
  said = []
  return run.annotate(inputs, said.append), said


def _rows(out):
  return {
    row["id"]: row
    for path in sorted(out.glob("*/train.json"))
    for row in json.loads(path.read_text())
  }


def _origins(out):
  return [
    json.loads(line)
    for path in sorted(out.glob("*/provenance.jsonl"))
    for line in path.read_text().splitlines()
  ]


def _built(summary):
  return sum(sum(counts.values()) for counts in summary["tasks"].values())


def test_the_teachers_text_ends_in_the_programs_conclusion(media, tmp_path):
  with stub_teacher.Stub() as stub:
    summary, said = _run(_inputs(media, tmp_path, stub.url))
  assert _built(summary) == 6
  for row in _rows(tmp_path).values():
    text = row.get("label_content") or row["label"]
    assert text.startswith(f"{stub_teacher.GOOD} ")
    assert len(text) > len(stub_teacher.GOOD) + 5
  for line in _origins(tmp_path):
    assert (line["writer"], line["attempt"]) == ("teacher", 1)
    assert line["host"] == "127.0.0.1"
    assert line["tokens"] == [1000, 100]
    assert line["saw"] == ["frames", "sound", "label"]
  assert "7000 tokens in, 700 out" in "".join(said)  # the probe is one


def test_the_teacher_gets_what_the_model_will_see_and_hear(media, tmp_path):
  with stub_teacher.Stub() as stub:
    _run(_inputs(media, tmp_path, stub.url, rows=2))
    bodies = [b for b in stub.bodies if len(b["messages"]) > 1]
  frames, sounds = set(), set()
  for body in bodies:
    content = body["messages"][1]["content"]
    kinds = [part["type"] for part in content]
    frames.add(kinds.count("image_url"))
    sounds.add(kinds.count("input_audio"))
    texts = " ".join(p["text"] for p in content if p["type"] == "text")
    assert "Second 0.0:" in texts
    assert {"playing piano", "anger"} & {
      word for word in ("playing piano", "anger") if word in texts
    }
    (sound,) = [p["input_audio"] for p in content if p["type"] == "input_audio"]
    assert sound["format"] == "mp3"
  assert frames == {10, 4}
  assert sounds == {1}


@pytest.mark.parametrize(
  ("fault", "codes"),
  [
    ("leaking", {"told"}),
    ("chinese", {"language"}),
    ("lying", {"parse", "marks"}),
    ("short", {"length"}),
    ("truncated", {"reply"}),
    ("refuse", {"refused"}),
  ],
)
def test_a_bad_text_is_asked_for_again(media, tmp_path, fault, codes):
  """The second request says why, so that it is another one."""
  with stub_teacher.Stub(lambda count, name: "") as stub:
    # The first request is the probe, the second the first text.
    order = []
    stub.faults = lambda count, name: (
      order.append(name) or (fault if len(order) == 2 else "")
    )
    one = settings_lib.Transport(timeout=5.0, workers=1)
    summary, _ = _run(_inputs(media, tmp_path, stub.url, 1, one))
    again = stub.bodies[-1]["messages"][1]["content"][-1]["text"]
  assert _built(summary) == 1
  (line,) = _origins(tmp_path)
  assert line["attempt"] == 2
  assert codes <= {*line["failed"]}
  assert "The last text was not good" in again


@pytest.mark.parametrize("fallback", ["human", "template", "drop"])
def test_a_row_without_a_good_text_is_explained(media, tmp_path, fallback):
  with stub_teacher.Stub() as stub:
    asked = []
    stub.faults = lambda count, name: (
      asked.append(name) or ("leaking" if len(asked) > 1 else "")
    )
    summary, _ = _run(_inputs(media, tmp_path, stub.url, 2, fallback=fallback))
  if fallback == "template":
    assert _built(summary) == 2
    assert {line["writer"] for line in _origins(tmp_path)} == {"template"}
    assert all("told" in line["failed"] for line in _origins(tmp_path))
    # A text that was made without looking says so.
    assert all(line["saw"] == ["label"] for line in _origins(tmp_path))
    return
  assert _built(summary) == 0
  status = {"human": "needs_review", "drop": "no_good_text"}[fallback]
  assert {u["status"] for u in summary["unbuilt"]} == {status}
  assert sum(u["rows"] for u in summary["unbuilt"]) == 2


def test_a_doubt_is_flagged_and_waits_for_review(media, tmp_path):
  with stub_teacher.Stub() as stub:
    asked = []
    stub.faults = lambda count, name: (
      asked.append(name) or ("doubt" if len(asked) > 1 else "")
    )
    summary, _ = _run(_inputs(media, tmp_path, stub.url, 2))
  assert [u["status"] for u in summary["unbuilt"]] == ["unreviewed"] * 2


def test_faults_of_the_way_are_asked_again(media, tmp_path):
  """429, 500, broken JSON: every request fails at first in one of them."""
  names = ["429", "500", "broken", ""]
  with stub_teacher.Stub(
    lambda count, name: names[int(name, 16) % 4] if count == 0 else ""
  ) as stub:
    summary, _ = _run(_inputs(media, tmp_path, stub.url))
    assert max(stub.answered.values()) == 1
  assert _built(summary) == 6


def test_an_endpoint_without_schema(media, tmp_path):
  """It is asked for labelled lines."""
  with stub_teacher.Stub(lambda count, name: "no schema") as stub:
    summary, _ = _run(_inputs(media, tmp_path, stub.url, 2))
    assert "response_format" not in stub.bodies[-1]
    asked = [
      body["messages"][-1]["content"][-1]["text"]
      for body in stub.bodies
      if "response_format" not in body and len(body["messages"]) > 1
    ]
  assert _built(summary) == 2
  assert len(asked) == 2
  assert all("Reply with five lines: Seen: .." in text for text in asked)
  assert not any("JSON" in text for text in asked)


def test_an_endpoint_that_refuses_us_is_named(media, tmp_path):
  with (
    stub_teacher.Stub(lambda count, name: "401") as stub,
    pytest.raises(errors.UserError, match="answers 401: no key"),
  ):
    _run(_inputs(media, tmp_path, stub.url, 1))
  assert not (tmp_path / run.SUMMARY).exists()


def test_an_endpoint_that_does_not_hear_is_refused(
  media, tmp_path, monkeypatch
):
  with stub_teacher.Stub() as stub:
    text = stub_teacher.fields("").replace("a tone", "silence")
    monkeypatch.setattr(stub_teacher, "fields", lambda *a, **k: text)
    with pytest.raises(errors.UserError, match="does not hear"):
      _run(_inputs(media, tmp_path, stub.url, 1))


@pytest.mark.parametrize(("fault", "built"), [("", 2), ("doubt", 0)])
def test_a_judge_flags_what_it_finds_unsupported(media, tmp_path, fault, built):
  """Another endpoint, which the teacher's key is not sent to."""
  with stub_teacher.Stub() as stub, stub_teacher.Stub() as judge:
    judge.faults = lambda count, name: fault
    way = settings_lib.Transport(timeout=5.0, key="secret")
    summary, _ = _run(
      _inputs(media, tmp_path, stub.url, 2, way, judge=judge.url)
    )
    assert len(judge.bodies) == 2
    assert "Does the clip support" in json.dumps(judge.bodies[0])
    assert stub.keys == {"Bearer secret"}
    assert judge.keys == {None}
  assert _built(summary) == built
  report = json.loads((tmp_path / "report.json").read_text())
  for task in report["tasks"].values():
    assert task["supported"]["good"] == built / 2
    assert task["supported"]["of"] == 1
  if fault:
    assert {u["status"] for u in summary["unbuilt"]} == {"unreviewed"}
  assert summary["teaching"]["judge"] == "127.0.0.1"
  assert "secret" not in json.dumps(summary)


def test_a_judge_at_the_same_endpoint_or_with_a_key_of_its_own(media, tmp_path):
  with stub_teacher.Stub() as stub, stub_teacher.Stub() as judge:
    way = settings_lib.Transport(timeout=5.0, key="one", judge_key="two")
    _run(_inputs(media, tmp_path / "a", stub.url, 1, way, judge=judge.url))
    assert judge.keys == {"Bearer two"}
    way = settings_lib.Transport(timeout=5.0, key="one")
    _run(_inputs(media, tmp_path / "b", stub.url, 1, way, judge=stub.url))
    assert stub.keys == {"Bearer one"}


def test_two_passes_ask_first_without_the_label(media, tmp_path):
  with stub_teacher.Stub() as stub:
    one = settings_lib.Transport(timeout=5.0, workers=1)
    summary, _ = _run(_inputs(media, tmp_path, stub.url, 1, one, passes=2))
    probe, notes, reason = stub.bodies
  said = json.dumps(notes["messages"])
  assert "piano" not in said
  assert "image_url" in said
  said = json.dumps(reason["messages"])
  assert "piano" in said
  assert "a red, bright screen" in said
  assert "image_url" not in said
  # The notes do not name the class: an independent witness against it.
  assert [u["status"] for u in summary["unbuilt"]] == ["unreviewed"]


def test_the_budget_is_never_passed(media, tmp_path):
  """Whatever a reply costs: 1000 in and 100 out, at 1 and 10 a million."""
  cost = 1000 * 1e-6 + 100 * 1e-5
  with stub_teacher.Stub() as stub:
    for budget in (0.0065, 0.009, 0.012):
      way = settings_lib.Transport(
        timeout=5.0, workers=3, budget=budget, price_in=1.0, price_out=10.0
      )
      with pytest.raises(errors.UserError, match="--budget="):
        _run(_inputs(media, tmp_path, stub.url, 8, way))
      assert sum(stub.answered.values()) * cost <= budget + 1e-9
      assert not (tmp_path / run.SUMMARY).exists()
    spent = sum(stub.answered.values())
    assert spent > 2
    way = settings_lib.Transport(
      timeout=5.0, budget=1.0, price_in=1.0, price_out=10.0
    )
    summary, _ = _run(_inputs(media, tmp_path, stub.url, 8, way))
    assert max(stub.answered.values()) == 1
  assert _built(summary) == 8


def test_a_second_run_and_another_order_ask_nothing(media, tmp_path):
  with stub_teacher.Stub() as stub:
    inputs = _inputs(media, tmp_path, stub.url)
    _run(inputs)
    before, rows = stub.seen.copy(), _rows(tmp_path)
    (tmp_path / run.SUMMARY).unlink()
    _run(inputs)
    assert stub.seen == before
    assert _rows(tmp_path) == rows


def test_batches_give_what_a_live_teacher_gives(media, tmp_path):
  with stub_teacher.Stub() as stub:
    live, batched = tmp_path / "live", tmp_path / "batched"
    _run(_inputs(media, live, stub.url, 4))
    _, said = _run(_inputs(media, batched, stub.url, 4, batch="write"))
    (path,) = (batched / run.STATE / "batches").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 4
    assert {line["url"] for line in lines} == {"/v1/chat/completions"}
    replies = [
      {
        "custom_id": line["custom_id"],
        "response": {
          "status_code": 200,
          "body": json.loads(stub.reply(json.dumps(line["body"]).encode())[2]),
        },
        "error": None,
      }
      for line in lines
    ]
  random.Random(0).shuffle(replies)
  output = tmp_path / "output.jsonl"
  output.write_text("".join(json.dumps(r) + "\n" for r in replies[:2]))
  # A half, the same half again, then the rest.
  for _ in range(2):
    _, said = _run(_inputs(media, batched, stub.url, 4, batch=f"read={output}"))
    assert "2 requests to send" in said[-1]
  output.write_text("".join(json.dumps(r) + "\n" for r in replies))
  # Everything is there, and the probe has nobody to ask: it is not needed.
  with stub_teacher.Stub() as other:
    inputs = _inputs(media, batched, stub.url, 4, batch=f"read={output}")
    summary, said = _run(inputs)
    assert not other.seen
  assert _built(summary) == 4
  assert _rows(batched) == _rows(live)


def test_a_dry_run_asks_nothing(media, tmp_path):
  with stub_teacher.Stub() as stub:
    inputs = _inputs(media, tmp_path, stub.url)
    inputs = run.dataclasses.replace(
      inputs,
      dry_run=True,
      transport=settings_lib.Transport(price_in=0.3, price_out=2.5),
    )
    said = []
    told = run.annotate(inputs, said.append)
    assert not stub.seen
  assert told["all"]["rows"] == 6
  ks = told["dry_run"]["ks"]
  # Ten frames of 258, five seconds of 32, and the instructions.
  assert ks["tokens_in"] == 10 * 258 + 5 * 32 + 600
  assert ks["cost"] == pytest.approx((3340 * 0.3 + 120 * 2.5) / 1e6)
  assert not (tmp_path / run.SUMMARY).exists()


def test_some_sets_are_not_sent_to_others(media, tmp_path):
  row = {**sources.row("mafw", 0), "label": "anger", "split": "train"}
  found, _ = schema.parse([("line 1", row)], tasks.Tasks())
  inputs = _inputs(media, tmp_path, "http://teacher.example/v1")
  inputs = run.dataclasses.replace(inputs, found=found)
  with pytest.raises(errors.UserError, match="mafw: .*not sent to teacher.ex"):
    run.annotate(inputs, print)


def test_accepted_texts_are_the_examples_of_the_other_rows(media, tmp_path):
  """What was accepted is not asked for again, and stays accepted."""
  with stub_teacher.Stub() as stub:
    one = settings_lib.Transport(timeout=5.0, workers=1)
    inputs = _inputs(media, tmp_path, stub.url, 2, one)
    _run(inputs)  # an action and an emotion
    (first, _) = entries.read(tmp_path / run.STATE)
    text = "A person wrote this about the frames and the sound of the clip."
    decision = {
      "id": first["id"], "hash": first["hash"], "verdict": "edit",
      "text": text, "reason": "", "reviewer": "ann",
    }  # fmt: skip
    (tmp_path / reviews.FILE).write_text(json.dumps(decision) + "\n")
    before = len(stub.bodies)
    inputs = _inputs(
      media, tmp_path, stub.url, 8, one, examples="reviewed"
    )  # the seventh row is an action again
    summary, _ = _run(inputs)
    told = [json.dumps(body) for body in stub.bodies[before:]]
    assert len(told) == 6
    assert [text in body for body in told].count(True) == 1
  assert _built(summary) == 8
  assert text in _rows(tmp_path)[first["id"]]["label"]


def test_a_video_is_sent_with_its_sound_beside_it(media, tmp_path):
  """Pictures stay pictures; a request that is too large has a smaller one."""
  with stub_teacher.Stub() as stub:
    one = settings_lib.Transport(timeout=5.0, workers=1)
    inputs = _inputs(media, tmp_path, stub.url, 5, one, send="video")
    summary, _ = _run(inputs)
    kinds = [
      [part["type"] for part in body["messages"][-1]["content"]]
      for body in stub.bodies
    ]
    videos = [
      part["video_url"]["url"]
      for body in stub.bodies
      for part in body["messages"][-1]["content"]
      if part["type"] == "video_url"
    ]
  assert _built(summary) == 5
  assert kinds[0] == ["video_url", "input_audio", "text"]  # the probe
  assert kinds[1:5] == [["text", "video_url", "input_audio", "text"]] * 4
  assert kinds[5].count("image_url") == 1
  head, _, data = videos[1].partition(",")
  assert head == "data:video/mp4;base64"
  with av.open(io.BytesIO(base64.b64decode(data))) as container:
    (stream,) = container.streams
    assert stream.type == "video"
    assert float(container.duration / av.time_base) == pytest.approx(5, abs=0.3)


def test_a_video_counts_by_its_seconds(media, tmp_path):
  inputs = _inputs(media, tmp_path, "http://localhost/v1", 1, send="video")
  inputs = run.dataclasses.replace(inputs, dry_run=True)
  told, _ = _run(inputs)
  assert told["all"]["tokens_in"] == 5 * 258 + 5 * 32 + 600


_LOOP = """
import sys
from crab_jax.annotation import settings
from tests.annotation import drafting_test as test
import pathlib
media, out, url = sys.argv[1:]
test._run(test._inputs(pathlib.Path(media), pathlib.Path(out), url, 36,
  settings.Transport(timeout=5.0, workers=3)))
"""


@pytest.mark.slow
def test_twenty_kills_change_no_byte_and_ask_nothing_twice(media, tmp_path):
  """But for what was in flight: three workers, so three a kill at most."""
  rng = random.Random(0)

  def bytes_of(out):
    return {
      str(p.relative_to(out)): p.read_bytes()
      for p in sorted(out.rglob("*"))
      if p.is_file() and run.STATE not in str(p)
    }

  def faults(count, name):
    if count == 0 and int(name, 16) % 5 == 0:
      return "500"
    return "leaking" if int(name, 16) % 7 == 0 else "slow"

  with stub_teacher.Stub(faults) as stub:
    command = [sys.executable, "-c", _LOOP, str(media)]
    straight = tmp_path / "a"
    subprocess.run([*command, str(straight), stub.url], check=True)
    stub.seen.clear()
    stub.answered.clear()
    killed = 0
    for _ in range(20):
      child = subprocess.Popen(
        [*command, str(tmp_path / "b"), stub.url],
        stderr=subprocess.DEVNULL,
      )
      time.sleep(1.2 + rng.random() * 1.0)
      if child.poll() is None:
        os.kill(child.pid, signal.SIGKILL)
        killed += 1
      child.wait()
    subprocess.run([*command, str(tmp_path / "b"), stub.url], check=True)
    twice = sum(count - 1 for count in stub.answered.values())
  assert killed > 3
  assert twice <= 3 * killed
  assert bytes_of(straight) == bytes_of(tmp_path / "b")


def test_a_request_that_is_too_large_has_smaller_frames(media, tmp_path):
  with stub_teacher.Stub() as stub:
    inputs = _inputs(media, tmp_path, stub.url, 1, request_mb=0.1)
    summary, _ = _run(inputs)
  assert _built(summary) == 1
  assert sending.FRAME_SIZES == (448, 224, 112)
