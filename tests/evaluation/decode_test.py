"""Held-out clips to rows: what is asked, what fails, what is left to do."""

import io
import types

import numpy as np
import pytest
from PIL import Image

from crab_jax import configs
from crab_jax.data import prepared_records
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.evaluation import decode
from crab_jax.evaluation import held_out
from crab_jax.evaluation.scoring import masks
from crab_jax.evaluation.scoring import scores
from tests.data import small_records


def _answerer(records, batch=2, length=1, ended=True):
  """One whose model says the token of "ks" so often, and stops or is cut."""
  tokenizer = small_records.small_tokenizer(records)
  model = small_records.MODEL
  answerer = decode.Answerer(
    model,
    {},
    samples.sample_maker(tokenizer, small_records.DATA, model, tasks.Tasks()),
    tokenizer,
    configs.Evaluation(batch=batch, max_new_tokens=4),
  )
  (word, *_) = tokenizer.encode("ks")
  seen = []

  def generate(params, prompts):
    seen.append(prompts["tokens"].shape)
    rows = len(prompts["tokens"])
    tokens = np.full((rows, 4), word)
    return types.SimpleNamespace(
      tokens=tokens,
      lengths=np.full(rows, length),
      ended=np.full(rows, ended),
    )

  generate.sampling = answerer._generator.sampling
  answerer._generator = generate
  return answerer, seen


def test_rows_say_what_was_asked_and_why_there_is_no_text():
  good = [small_records.record("ks", i, "test") for i in range(3)]
  bad = small_records.record("ks", 3, "test", audio=b"no sound")
  answerer, seen = _answerer(good)
  rows = {row["id"]: row for row in answerer.answers([*good, bad])}
  assert set(rows) == {f"ks/test/{i}" for i in range(4)}
  for record in good:
    row = rows[record.id]
    assert row["error"] is None
    assert row["text"]
    assert row["prompt"].endswith("What action makes this sound?")
    assert row["reference"] == record.reference
  failed = rows[bad.id]
  assert (failed["text"], failed["error"]) == (None, "bad_audio")
  assert len(seen) == 2 and len(set(seen)) == 1  # two batches, one shape


@pytest.mark.parametrize(
  ("length", "ended", "cut"),
  [(1, True, None), (3, False, "context"), (4, False, "max_new_tokens")],
)
def test_rows_say_what_cut_an_answer_off(length, ended, cut):
  record = small_records.record("ks", 0, "test")
  answerer, _ = _answerer([record], length=length, ended=ended)
  (row,) = answerer.answers([record])
  assert row.get("cut") == cut
  assert row["text"] and row["error"] is None


def test_a_true_mask_goes_along_as_a_code():
  truth = masks.filled_box((1, 2, 30, 40))
  record = small_records.record("s4", 0, "test", mask=_png(truth))
  found = decode.reference_of(record)
  np.testing.assert_array_equal(masks.from_rle(found["mask"]), truth)
  assert "mask" not in record.reference


def _png(mask):
  buffer = io.BytesIO()
  Image.fromarray((mask * 255).astype(np.uint8)).save(buffer, "PNG")
  return buffer.getvalue()


class _Stopped(Exception):
  pass


class _Answers:
  """Answers so many clips and is stopped; remembers what it was given."""

  def __init__(self, count):
    self.count, self.given = count, []

  def answers(self, chosen):
    self.given = [record.id for record in chosen]
    for number, record in enumerate(chosen):
      if number == self.count:
        raise _Stopped
      yield decode.row(record, "a", None)


def test_a_stop_loses_and_repeats_nothing(tmp_path):
  found = [small_records.record("ks", i, "test") for i in range(5)]
  small_records.write(tmp_path / "records", found)
  clips = held_out.clips(
    prepared_records.read(tmp_path / "records"), configs.Evaluation()
  )
  folder = tmp_path / "predictions"
  folder.mkdir()
  with pytest.raises(_Stopped):
    decode.decode(_Answers(2), clips, folder)
  again = _Answers(9)
  decode.decode(again, clips, folder)
  assert again.given == [f"ks/test/{i}" for i in (2, 3, 4)]
  rows = scores.read_rows(folder / "ks.jsonl")
  assert [row["id"] for row in rows] == [f"ks/test/{i}" for i in range(5)]
  last = _Answers(0)
  decode.decode(last, clips, folder)
  assert last.given == []
