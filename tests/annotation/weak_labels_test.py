"""Labels without times: a teacher proposes them, a person accepts them."""

import json

import pytest

from crab_jax import errors
from crab_jax.annotation import items
from crab_jax.annotation import rows
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import truths
from crab_jax.annotation.review import entries
from crab_jax.annotation.review import reviews
from crab_jax.annotation.teaching import times_proposed
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from tests.annotation import sources
from tests.annotation import stub_teacher

_WAY = settings_lib.Transport(timeout=5.0, workers=2)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
  folder = tmp_path_factory.mktemp("media")
  sources.write_media(folder, 3)
  return folder


def _inputs(media, out, url, batch=None, splits=("train", "test"), **settings):
  lines = [
    (f"line {i}", {**sources.row("avvp", i, events="", label="Dog;Church_bell",
                                 split=split), "id": f"clip{i}"})
    for i, split in enumerate(splits)
  ]  # fmt: skip
  found, faults = schema.parse(lines, tasks.Tasks())
  assert not faults
  settings = {"writer": "template", "require_review": "none"} | settings
  return run.Inputs(
    found, faults, media, out, tasks.Tasks(),
    settings_lib.Settings(weak="teacher", **settings),
    settings_lib.Teaching(url, "stub") if url else None, _WAY, batch,
  )  # fmt: skip


def _annotate(inputs):
  said = []
  return run.annotate(inputs, said.append), said


def _accept_all(out):
  lines = [
    {"id": e["id"], "hash": e["hash"], "verdict": "accept", "text": "",
     "reason": "", "reviewer": "ann"}
    for e in entries.read(out / run.STATE)
  ]  # fmt: skip
  text = "".join(f"{json.dumps(line)}\n" for line in lines)
  (out / reviews.FILE).write_text(text)


def _statuses(summary):
  return {u["status"]: u["rows"] for u in summary["unbuilt"]}


def test_proposed_times_are_built_when_a_person_accepts_them(media, tmp_path):
  """Of test rows too, whatever else is reviewed; nothing is asked again."""
  with stub_teacher.Stub() as stub:
    stub.times = ["dog@0.4-2; church bell@1-4.9:audio"]
    inputs = _inputs(media, tmp_path, stub.url)
    summary, _ = _annotate(inputs)
    assert _statuses(summary) == {"needs_review": 2}
    asked = stub.bodies[-1]["messages"][1]["content"]
    assert "Dog; Church_bell" in asked[-1]["text"]
    assert ":audio" in asked[-1]["text"]  # avvp tells seen from heard
    assert [p["type"] for p in asked].count("image_url") == 10
    before = stub.seen.copy()
    _accept_all(tmp_path)
    summary, _ = _annotate(inputs)
    assert stub.seen == before
  assert summary["tasks"]["avvp"] == {"train": 1, "test": 1}
  (row,) = json.loads((tmp_path / "avvp/train.json").read_text())
  assert row["label_content"].endswith(
    "<visual>Dog, (0 2)</visual> <audio>Dog, (0 2)</audio>"
    " <audio>Church_bell, (1 5)</audio>."
  )
  text = (tmp_path / "avvp/provenance.jsonl").read_text()
  for line in map(json.loads, text.splitlines()):
    assert line["marks"] == ["proposed_times"]
    assert line["checks"] == ["proposed_times"]


def test_times_that_cannot_be_used_are_asked_for_again(media, tmp_path):
  with stub_teacher.Stub() as stub:
    stub.times = ["Dog@0-2", "Dog@0-2;Church_bell@3-5"]
    inputs = _inputs(media, tmp_path, stub.url, splits=("train",))
    summary, _ = _annotate(inputs)
    assert "there are no times of Church_bell" in json.dumps(stub.bodies[-1])
  assert _statuses(summary) == {"needs_review": 1}


def test_a_row_without_times_to_use_is_left_out_and_named(media, tmp_path):
  with stub_teacher.Stub() as stub:
    stub.times = ["Dog@0-90;Church_bell@1-2"]
    summary, _ = _annotate(_inputs(media, tmp_path, stub.url))
    asked = [b for b in stub.bodies if "begins and ends" in json.dumps(b)]
  assert len(asked) == 2 * 3
  assert _statuses(summary) == {"no_times": 2}
  text = (tmp_path / run.STATE / "unbuilt.jsonl").read_text()
  assert "lasts from 0 to 90, the clip has 5" in text


def test_a_media_file_that_is_missing_keeps_its_own_reason(media, tmp_path):
  with stub_teacher.Stub() as stub:
    inputs = _inputs(media, tmp_path, stub.url, splits=("train",))
    row = run.dataclasses.replace(
      inputs.found[0], media={"video": "gone.mp4", "audio": "a0.wav"}
    )
    inputs = run.dataclasses.replace(inputs, found=[row])
    summary, _ = _annotate(inputs)
    assert not stub.seen
  assert _statuses(summary) == {"missing_file": 1}


def test_batches_ask_first_for_times_and_then_for_texts(media, tmp_path):
  """The last round builds what a live teacher gives."""
  with stub_teacher.Stub() as stub:
    stub.times = ["Dog@0-2;Church_bell@3-5"]
    more = {"writer": "teacher", "splits": ("train", "train")}
    live, batched = tmp_path / "live", tmp_path / "batched"
    _annotate(_inputs(media, live, stub.url, **more))
    replies, batch = tmp_path / "replies.jsonl", "write"
    asked = []
    for _ in range(3):
      inputs = _inputs(media, batched, stub.url, batch, **more)
      summary, _ = _annotate(inputs)
      paths = (batched / run.STATE / "batches").glob("*.jsonl")
      lines = [
        json.loads(line) for p in paths for line in p.read_text().splitlines()
      ]
      asked.append(len(lines))
      replies.write_text("".join(map(stub.batch_reply, lines)))
      batch = f"read={replies}"
  assert asked == [2, 2, 0]
  assert _statuses(summary) == {"needs_review": 2}
  one, other = (
    (out / run.STATE / "drafts.jsonl").read_text() for out in (live, batched)
  )
  assert one == other


def test_a_dry_run_counts_the_times_and_asks_nothing(media, tmp_path):
  with stub_teacher.Stub() as stub:
    inputs = _inputs(media, tmp_path, stub.url)
    inputs = run.dataclasses.replace(inputs, dry_run=True)
    told, _ = _annotate(inputs)
    both = run.dataclasses.replace(
      inputs, settings=settings_lib.Settings(weak="teacher", writer="teacher")
    )
    more, _ = _annotate(both)
    assert not stub.seen
  # Ten frames of 258, seconds of 32, and the instructions; the test row gets
  # times and no text.
  first, second = (10 * 258 + s * 32 + 600 for s in (5, 5.25))
  assert told["all"]["tokens_in"] == first + second
  assert more["all"]["tokens_in"] == 2 * first + second
  assert more["all"]["rows"] == 2


def test_it_needs_a_teacher(media, tmp_path):
  with pytest.raises(errors.UserError, match="--weak=teacher needs --teacher"):
    _annotate(_inputs(media, tmp_path, None))


def _item():
  row = rows.Row("here", labels=("Dog", "Male speech, man speaking"))
  truth = truths.Truth(answers.Answer("events"))
  return items.Item("a", row, "avvp", truth, {}, length=9.98)


def test_labels_are_those_of_the_row():
  text = "male speech, man speaking@1-2;dog@0-1:visual;Dog@8-10.2"
  found = times_proposed.read(text, _item())
  assert [(e.label, e.start, e.end, e.modality) for e in found] == [
    ("Male speech, man speaking", 1.0, 2.0, "both"),
    ("Dog", 0.0, 1.0, "visual"),
    ("Dog", 8.0, 10.0, "both"),
  ]


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ("", "no times of Dog, Male"),
    ("Dog from 0 to 2", "an event is LABEL@"),
    ("Dog@0-2", "no times of Male speech"),
    ("Dog@0-2;Cat@1-2", "Cat is none of the labels"),
    ("Dog@3-2", "ends behind its start"),
    ("Dog@0-12", "the clip has 9.98"),
    ("Dog@10-10.5", "the clip has 9.98"),
    ("[1, 2]", "an event has label"),
    ("Dog@0-2:smelled", "audio, visual or both"),
  ],
)
def test_replies_that_are_no_times(text, reason):
  with pytest.raises(ValueError, match=reason):
    times_proposed.read(text, _item())
