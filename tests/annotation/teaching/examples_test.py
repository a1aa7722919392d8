"""Accepted texts as examples."""

import json

import pytest

from crab_jax import errors
from crab_jax.annotation.review import entries
from crab_jax.annotation.review import reviews
from crab_jax.annotation.teaching import examples
from crab_jax.annotation.teaching import prompts
from crab_jax.data import tasks

_TABLE, _PROMPTS = tasks.Tasks(), prompts.load(None)


def _draft(name, task="ks", writer="teacher", text=None):
  text = f"text of {name}" if text is None else text
  return {"id": name, "task": task, "writer": writer, "text": text,
          "hash": reviews.text_hash(text)}  # fmt: skip


def _decision(draft, verdict, text=""):
  return {"id": draft["id"], "hash": draft["hash"], "verdict": verdict,
          "text": text, "reason": "", "reviewer": "ann"}  # fmt: skip


def _write(out, drafts, decisions):
  for path, lines in (
    (out / "state" / entries.FILE, drafts), (out / reviews.FILE, decisions),
  ):  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _chosen(out):
  return examples.chosen(out, out / "state", _TABLE, _PROMPTS)


def test_what_people_wrote_comes_first_then_the_teachers_texts(tmp_path):
  edited, mine, plain = _draft("e"), _draft("t"), _draft("p", writer="template")
  more = [_draft(f"m{i}", writer="template") for i in range(5)]
  other = _draft("o", task="meld")
  decisions = [
    *(_decision(d, "accept") for d in (*more, plain, mine, other)),
    _decision(edited, "edit", "by a person"),
  ]
  _write(tmp_path, [*more, plain, mine, edited, other], decisions)
  found = _chosen(tmp_path)
  assert found.of("new", "action")[:2] == ("by a person", "text of t")
  assert len(found.of("new", "action")) == 3
  assert found.of("new", "emotion") == ("text of o",)
  assert found.of("new", "qa") == ()


def test_accepted_rows_keep_what_they_were_asked_with(tmp_path):
  """So that their texts, and the decisions about them, stand."""
  drafts = [_draft(n) for n in ("kept", "bad", "doubted", "unseen", "undone")]
  kept, bad, doubted, _, undone = drafts
  _write(tmp_path, drafts, [
    _decision(kept, "accept"), _decision(bad, "reject"),
    _decision(doubted, "label"), _decision(undone, "accept"),
    _decision(undone, "undo"),
  ])  # fmt: skip
  found = _chosen(tmp_path)
  assert found.rows == {"kept", "doubted"}
  assert found.texts == {"action": ("text of kept",)}
  assert found.of("kept", "action") == ()
  assert found.of("bad", "action") == ("text of kept",)


def test_they_are_chosen_once(tmp_path):
  first, later = _draft("a"), _draft("b")
  _write(tmp_path, [first, later], [_decision(first, "accept")])
  found = _chosen(tmp_path)
  _write(tmp_path, [first, later], [_decision(later, "accept")])
  assert _chosen(tmp_path) == found
  (tmp_path / "state" / examples.FILE).unlink()
  assert _chosen(tmp_path).rows == {"b"}


def test_without_any_it_says_what_to_do(tmp_path):
  drafts = [_draft("a", text=""), _draft("b")]
  _write(tmp_path, drafts, [
    _decision(drafts[0], "accept"), _decision(drafts[1], "reject"),
  ])  # fmt: skip
  with pytest.raises(errors.UserError, match="nobody has accepted a text"):
    _chosen(tmp_path)
  assert not (tmp_path / "state" / examples.FILE).exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": []}', '{"texts": []}'])
def test_a_damaged_file_is_named(tmp_path, text):
  _write(tmp_path, [], [])
  (tmp_path / "state" / examples.FILE).write_text(text)
  with pytest.raises(errors.UserError, match=r"examples\.json is damaged"):
    _chosen(tmp_path)
