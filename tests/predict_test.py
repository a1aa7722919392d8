"""The command `predict`: its mistakes are one line; a model that is none, too."""

import dataclasses
import json
import os

import numpy as np
import pytest

from crab_jax import configs
from tests import cli_calls
from tests import compilations
from tests import model_folders
from tests.data import clips
from tests.models import random_parameters

_MISTAKES = {
  ("--task=ave",): "--checkpoint",
  ("--checkpoint=x", "--out=y", "--task=nosuch"): "nosuch",
  ("--checkpoint=x", "--out=y", "--task=ave"): "--video",
  ("--checkpoint=x", "--out=y", "--task=avqa", "--video=v"): "--question",
  ("--checkpoint=x", "--out=y", "--task=a2v", "--video=v"): "--other_video",
  (
    "--checkpoint=x",
    "--out=y",
    "--task=ave",
    "--video=v",
    "--other_video=w",
  ): "without --other_video",
  ("--checkpoint=x", "--out=y", "--task=all"): "no task fits",
  ("--checkpoint=x", "--out=y", "--task=ks", "--video=v"): "model folder",
}


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
  folder = tmp_path / "empty"
  folder.mkdir()
  calls = cli_calls.call("crab_jax.predict", list(_MISTAKES), folder)
  for made, culprit in zip(calls, _MISTAKES.values(), strict=True):
    assert made.code == 2
    assert culprit in made.stderr
    assert made.stderr.count("\n") == 1
  assert not list(folder.iterdir())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """A model folder, adapters for it, a clip, and what is wrong with others."""
  folder = tmp_path_factory.mktemp("files")
  config = model_folders.CONFIG
  params = random_parameters.draw(config)
  model_folders.save_model(folder / "model", params)
  model_folders.save_adapter(folder / "adapter", params)
  other = random_parameters.draw(config, 1)
  model_folders.save_adapter(folder / "other_base", other)
  model_folders.save_adapter(folder / "other_rank", params)
  settings = folder / "other_rank" / "adapter.json"
  settings.write_text(settings.read_text().replace('"rank": 3', '"rank": 4'))
  params["model"]["norm"]["weight"][3] = np.nan
  model_folders.save_model(folder / "nan", params)
  params["model"]["norm"]["weight"][3] = 1
  narrow = dataclasses.replace(config.decoder, mlp=200)
  narrow = configs.tiny(decoder=narrow)
  model_folders.save_model(folder / "other_config", params, narrow)
  model_folders.save_model(folder / "cut", params)
  clips.cut_short(clips.largest_file(folder / "cut" / "params"))
  clips.write_video(folder / "-clip.mp4", 12)
  clips.write_audio(folder / "a.wav", clips.tone(3.0))
  clips.write_audio(folder / "empty.wav", clips.tone(0.0))
  return folder


# What replaces the good arguments, and what the error names.
_BAD_FILES = {
  # The first: its abandoned reads end during the calls that follow.
  ("--checkpoint={}/cut",): "cut/params cannot be read",
  ("--checkpoint={}/nan",): "nan: model/norm/weight holds NaN",
  ("--checkpoint={}/other_config",): "other_config: its model.json",
  ("--adapter={}/other_base",): "other_base was trained on another base",
  ("--adapter={}/other_rank",): "other_rank does not fit this base",
  ("--adapter={}/model",): "model is no adapter folder",
  ("--audio={}/empty.wav",): "empty.wav",
  ("--video={}/a.wav",): "no video stream",
  ("--video={}/nosuch.mp4",): "nosuch.mp4",
  ("--task=avqa", "--question=" + "why " * 400): "the context of the model 400",
  ("--gates",): "--gates: the model has no router",
  ("--masks={}/model",): "model is no folder of a mask model",
}


def test_bad_files_are_one_line_and_leave_nothing(files, tmp_path):
  (tmp_path / "empty").mkdir()
  good = {
    "--checkpoint": str(files / "model"),
    "--video": str(files / "-clip.mp4"),
    "--audio": str(files / "a.wav"),
    "--task": "ave",
    "--out": "answers",
  }
  calls = []
  for bad in _BAD_FILES:
    pairs = [argument.format(files).partition("=") for argument in bad]
    asked = good | {name: value for name, _, value in pairs}
    calls.append([f"{k}={v}" if v else k for k, v in asked.items()])
  made = cli_calls.call("crab_jax.predict", calls, tmp_path / "empty")
  for call, culprit in zip(made, _BAD_FILES.values(), strict=True):
    assert call.code == 2, culprit
    (line,) = [x for x in call.stderr.splitlines() if x.startswith("error:")]
    assert culprit in line
    assert "Traceback" not in call.stderr
  assert not list((tmp_path / "empty").iterdir())


def test_a_name_with_a_dash_and_a_second_sound(files, tmp_path):
  (tmp_path / "folder").mkdir()
  os.symlink(files / "-clip.mp4", tmp_path / "folder" / "-clip.mp4")
  asked = (
    f"--checkpoint={files / 'model'}",
    f"--adapter={files / 'adapter'}",
    "--video=-clip.mp4",
    f"--audio={files / 'a.wav'}",
    f"--other_audio={files / 'a.wav'}",
    "--task=v2a",
    "--max_new_tokens=2",
    "--out=-answers",
  )
  (made,) = cli_calls.call("crab_jax.predict", [asked], tmp_path / "folder")
  assert made.code is None or made.code == 0, made.stderr
  answers = tmp_path / "folder" / "-answers" / "answers.json"
  (line,) = json.loads(answers.read_text())
  assert line["task"] == "v2a"


def _asked(files, out, *more):
  return [
    f"--checkpoint={files / 'model'}",
    f"--adapter={files / 'adapter'}",
    f"--video={files / '-clip.mp4'}",
    f"--audio={files / 'a.wav'}",
    "--task=s4",
    "--max_new_tokens=2",
    f"--out={out}",
    *more,
  ]


@pytest.mark.slow
def test_several_devices_answer_as_one_does(files, tmp_path):
  """The model lies along them, and says the same."""
  found = []
  for devices in (1, 4):
    (tmp_path / "empty").mkdir(exist_ok=True)
    out = tmp_path / str(devices)
    more = ("--task=ks", "--max_new_tokens=24")
    (made,) = cli_calls.call(
      "crab_jax.predict",
      [_asked(files, out, *more)],
      tmp_path / "empty",
      devices,
    )
    assert not made.code, made.stderr
    found.append(json.loads((out / "answers.json").read_text()))
  assert found[0][0]["text"] and found[0] == found[1]


@pytest.mark.slow
def test_a_second_call_of_the_same_shapes_compiles_nothing(files, tmp_path):
  """Two at once fill the same folder; a third finds all that it needs."""

  def predict(*outs):
    calls = [_asked(files, tmp_path / out) for out in outs]
    found = compilations.together("crab_jax.predict", calls, tmp_path / "user")
    assert [call.code for call in found] == [0] * len(outs), found
    return found

  assert all(call.compiled for call in predict("one", "two"))
  (third,) = predict("three")
  assert third.programs > third.compiled == 0
  texts = [
    (tmp_path / out / "answers.json").read_bytes()
    for out in ("one", "two", "three")
  ]
  assert texts[0] == texts[1] == texts[2]
  (folder,) = (tmp_path / "user").iterdir()
  assert folder.name == "crab_jax"


@pytest.mark.slow
def test_compiled_programs_need_not_be_kept(files, tmp_path):
  """Where --compiled=off says so, or nothing can be written."""
  (tmp_path / "file").write_text("")
  user = tmp_path / "file" / "below"
  calls = [
    _asked(files, tmp_path / "a", "--compiled=off"),
    _asked(files, tmp_path / "b"),
    _asked(files, tmp_path / "c", f"--compiled={user}"),
  ]
  off, unable, refused = compilations.together("crab_jax.predict", calls, user)
  assert off.code == unable.code == 0
  assert off.compiled == off.programs == unable.compiled
  assert "not kept" not in off.stderr
  assert unable.stderr.count("compiled programs are not kept") == 1
  assert refused.code == 2
  assert f"--compiled={user} cannot be written" in refused.stderr
