"""What a checkpoint notes, and what is refused where a stage goes on."""

import dataclasses
import json
import types

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.experiment import resumption
from crab_jax.paradigms import front

_TABLE = tasks.Tasks()
_STAGE = configs.Stage(name="tuning", steps=5, trains="adapter")
_EXPERIMENT = configs.Experiment(
  model=configs.tiny(adapter=configs.ILora(rank=4)),
  stages=[_STAGE],
  records="somewhere",
)
# Setting -> another value that fits.
_CHANGES = {
  "ILora.alpha": 3200.0,
  "ILora.dropout": 0.2,
  "ILora.rank": 8,
  "Optimizer.peak": 1.0,
  "Optimizer.b2": 0.95,
  "Optimizer.name": "muon",
  "Stage.steps": 6,
  "Stage.mixture": {"ks": 1.0},
  "Stage.targets": "answer",
  "Rows.rows": 32,
  "Data.seconds_per_pair": 1.0,
  "Decoder.rope_theta": 1e4,
  "VisionTower.full_blocks": (0,),
  "Experiment.seed": 7,
}


@pytest.fixture(scope="module")
def workspace():
  grammar = front.of(_EXPERIMENT.model).grammar
  tokenizer = tokenizers.train(["some text"], 300, grammar)
  return types.SimpleNamespace(tokenizer=tokenizer)


def _changed(name):
  """The experiment and its stage with another value of one setting."""
  kind, _, field = name.partition(".")
  new = {field: _CHANGES[name]}
  stage, experiment = _STAGE, _EXPERIMENT
  model = experiment.model
  if kind == "Stage":
    stage = dataclasses.replace(stage, **new)
  elif kind in ("Optimizer", "Rows"):
    part = kind.lower()
    replaced = dataclasses.replace(getattr(stage, part), **new)
    stage = dataclasses.replace(stage, **{part: replaced})
  elif kind == "Data":
    data = dataclasses.replace(experiment.data, **new)
    experiment = dataclasses.replace(experiment, data=data)
  elif kind == "Experiment":
    experiment = dataclasses.replace(experiment, **new)
  else:
    parts = {"ILora": "adapter", "Decoder": "decoder", "VisionTower": "vision"}
    part = parts[kind]
    replaced = dataclasses.replace(getattr(model, part), **new)
    model = dataclasses.replace(model, **{part: replaced})
    experiment = dataclasses.replace(experiment, model=model)
  return dataclasses.replace(experiment, stages=[stage]), stage


def _settings(workspace, name=None, base="b"):
  changed = _changed(name) if name else (_EXPERIMENT, _STAGE)
  return resumption.settings(*changed, workspace, base)


def _note(before, now, allowed=(), table=_TABLE):
  note = resumption.note(before, now, table, "runs/checkpoints", allowed)
  return json.loads(json.dumps(note))  # as a checkpoint gives it back


def test_a_stage_goes_on_with_the_same_settings(workspace):
  first = _note(None, _settings(workspace))
  again = _note(first, _settings(workspace))
  assert again == first
  assert resumption.changes(again) == []


@pytest.mark.parametrize("name", _CHANGES)
def test_a_changed_setting_is_refused_by_name_or_noted(workspace, name):
  first = _note(None, _settings(workspace))
  now = _settings(workspace, name)
  with pytest.raises(errors.UserError) as caught:
    _note(first, now)
  assert f"{name} was " in str(caught.value)
  assert f"--allow_change={name}" in str(caught.value)
  others = [other for other in _CHANGES if other != name]
  with pytest.raises(errors.UserError):
    _note(first, now, others)
  for allowed in (name, name.partition(".")[0]):
    note = _note(first, now, [allowed])
    (change,) = resumption.changes(note)
    assert change.startswith(f"{name} was ")
  # What was allowed once is in force: nothing differs from it any more.
  again = _note(note, now)
  assert resumption.changes(again) == [change]


@pytest.mark.parametrize("name", ["base", "tokenizer"])
def test_another_base_or_tokenizer_is_refused(workspace, name):
  first = _note(None, _settings(workspace))
  now = {**_settings(workspace), name: "of another"}
  with pytest.raises(errors.UserError, match=f"{name} was another one"):
    _note(first, now)
  note = _note(first, now, [name])
  assert resumption.changes(note) == [f"{name} was another one"]


def test_files_are_compared_by_content(workspace, tmp_path):
  def settings(text, name):
    (tmp_path / name).write_text(text)
    data = configs.Data(prompts=str(tmp_path / name))
    experiment = dataclasses.replace(_EXPERIMENT, data=data)
    return resumption.settings(experiment, _STAGE, workspace, "b")

  first = _note(None, settings("{}", "a.json"))
  _note(first, settings("{}", "b.json"))
  with pytest.raises(errors.UserError, match="Data.prompts was "):
    _note(first, settings("{ }", "a.json"))


def test_a_checkpoint_of_an_earlier_version_is_said_to_note_nothing(
  workspace, capsys
):
  now = _settings(workspace)
  note = _note({"tasks": {}}, now)
  assert "noted no settings" in capsys.readouterr().out
  assert note["settings"] == json.loads(json.dumps(now))


@pytest.mark.parametrize("name", ["ILora.alpha", "ILora", "base", "Optimizer"])
def test_names_that_may_be_allowed(workspace, name):
  resumption.check_names(_EXPERIMENT, workspace, [name])


@pytest.mark.parametrize("name", ["alpha", "ILora.alphas", "Lora", "ILor", ""])
def test_a_name_that_nothing_has_is_refused(workspace, name):
  with pytest.raises(errors.UserError, match=f"--allow_change={name}: "):
    resumption.check_names(_EXPERIMENT, workspace, [name])
