"""The prompt file: ours is complete, a user's is checked."""

import json

import pytest

from crab_jax import errors
from crab_jax.data import prompts
from crab_jax.data import tasks
from crab_jax.evaluation.scoring import scores
from tests.data import own_rows


def _tree():
  ask = {
    task.name: " ".join("{" + row[0] + "}" for row in task.fields)
    for task in tasks.Tasks().values()
  }
  return {
    "system": "S",
    "tasks": {k: {"lead_in": "L", "question": q} for k, q in ask.items()},
  }


def _write(path, tree):
  file = path / "prompts.json"
  file.write_text(json.dumps(tree))
  return str(file)


def test_ours_has_every_task_and_is_short():
  ours = prompts.load(None, tasks.Tasks())
  assert list(ours.tasks) == list(tasks.Tasks())
  for name, prompt in ours.tasks.items():
    words = f"{ours.system} {prompt.lead_in} {prompt.question}".split()
    assert len(words) < 25, name


def test_our_questions_differ_where_the_answers_do():
  questions = [
    prompt.question
    for prompt in prompts.load(None, tasks.Tasks()).tasks.values()
  ]
  assert len(set(questions)) == len(questions)


def test_a_users_file_replaces_ours(tmp_path):
  loaded = prompts.load(_write(tmp_path, _tree()), tasks.Tasks())
  assert loaded.system == "S"
  assert loaded.tasks["ks"] == prompts.Prompt("L", "")


def test_fields_are_filled_in():
  ours = prompts.load(None, tasks.Tasks()).tasks
  text = ours["avqa_thu"].ask({"question": "Where?", "options": ["a {x}", "b"]})
  assert "Where?" in text and "['a {x}', 'b']" in text
  assert "<des>the red drum</des>" in ours["ref_avs"].ask(
    {"description": "the red drum"}
  )
  with pytest.raises(ValueError, match="question"):
    ours["avqa"].ask({})


def _broken(change):
  tree = _tree()
  change(tree)
  return tree


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda t: t["tasks"].pop("ks"), "lacks ks"),
    (lambda t: t.pop("system"), "lacks system"),
    (lambda t: t["tasks"].update(kss={}), "unknown kss"),
    (lambda t: t["tasks"]["ks"].pop("lead_in"), "ks lacks lead_in"),
    (lambda t: t["tasks"]["ks"].update(lead_in=3), "lead_in must be a string"),
    (
      lambda t: t["tasks"]["ks"].update(question="{question}"),
      r"ks: unknown placeholder \{question\}",
    ),
    (
      lambda t: t["tasks"]["avqa"].update(question="{question.__class__}"),
      "unknown placeholder",
    ),
    (
      lambda t: t["tasks"]["avqa"].update(question="{question!r}"),
      "takes no format",
    ),
    (lambda t: t["tasks"]["avqa"].update(question="{question"), "avqa: quest"),
    (
      lambda t: t["tasks"]["avqa_thu"].update(question="{question}"),
      r"lacks the placeholder \{options\}",
    ),
    (lambda t: t.update(tasks=[]), "must be a JSON object"),
  ],
)
def test_mistakes_are_named(tmp_path, change, message):
  with pytest.raises(errors.UserError, match=message):
    prompts.load(_write(tmp_path, _broken(change)), tasks.Tasks())


def test_no_file_and_no_json(tmp_path):
  with pytest.raises(errors.UserError, match="does not exist"):
    prompts.load(str(tmp_path / "none.json"), tasks.Tasks())
  (tmp_path / "bad.json").write_text("{")
  with pytest.raises(errors.UserError, match="no JSON"):
    prompts.load(str(tmp_path / "bad.json"), tasks.Tasks())


def test_rows_of_ones_own_bring_their_wording(tmp_path):
  table = scores.own_tasks(own_rows.write(tmp_path, machine=own_rows.MACHINE))
  ours = prompts.load(None, table)
  assert ours.tasks["machine"].ask({}) == "Which fault has this machine?"
  assert ours.tasks["machine"].lead_in == "A video and an audio: "
  assert ours.tasks["ks"] == prompts.load(None, tasks.Tasks()).tasks["ks"]
  # A prompt file need not say it again, and wins where it does.
  plain = prompts.load(_write(tmp_path, _tree()), table)
  assert plain.tasks["machine"] == ours.tasks["machine"]
  tree = _tree()
  tree["tasks"]["machine"] = {"lead_in": "", "question": "Broken?"}
  assert prompts.load(_write(tmp_path, tree), table).tasks["machine"].ask(
    {}
  ) == ("Broken?")
