"""Names of labels in sentences."""

import json

import pytest

from crab_jax import errors
from crab_jax.annotation import display_names
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.data import tasks
from tests.annotation import sources


@pytest.mark.parametrize(
  ("label", "name"),
  [
    ("playing_piano", "playing piano"),
    ("ApplyEyeMakeup", "apply eye makeup"),
    ("YoYo", "yo yo"),
    ("Church bell", "church bell"),
    ("Male speech, man speaking", "male speech, man speaking"),
    ("Basketball Dunk", "basketball dunk"),
    ("TV", "TV"),
    ("using an ATM", "using an ATM"),
    ("SURPRISE", "surprise"),
    ("iPhone", "iPhone"),
    ("<b>dog</b>", "b dog /b"),
    ("狗叫", "狗叫"),
  ],
)
def test_the_name_of_a_label(label, name):
  assert display_names.default(label) == name


def test_other_languages_keep_their_case():
  assert display_names.default("Bellender_Hund", "de") == "Bellender Hund"


@pytest.fixture(scope="module")
def media(tmp_path_factory):
  folder = tmp_path_factory.mktemp("media")
  sources.write_media(folder, 3)
  return folder


def _annotate(media, out):
  lines = [
    ("line 1", sources.row("ucf", 0, label="ApplyEyeMakeup", split="train")),
    ("line 2", sources.row("unav", 1, events="Dog@0-2", split="train")),
    ("line 3", sources.row("ref_avs", 2, split="train")),
    ("line 4", sources.row("avqa", 2, split="train")),
    ("line 5", sources.row("s4", 2, object="lawn_mover", split="train")),
  ]
  found, faults = schema.parse(lines, tasks.Tasks())
  assert not faults
  said = []
  run.annotate(
    run.Inputs(
      found, faults, media, out, tasks.Tasks(), settings_lib.Settings()
    ),
    said.append,
  )
  return said


def _target(out, task, key):
  return json.loads((out / task / "train.json").read_text())[0][key]


def test_sentences_take_the_name_and_answers_the_label(media, tmp_path):
  _annotate(media, tmp_path)
  path = tmp_path / display_names.FILE
  names = json.loads(path.read_text())
  assert names == {
    "s4": {"lawn_mover": "lawn mover"},
    "ucf": {"ApplyEyeMakeup": "apply eye makeup"},
    "unav": {"Dog": "dog"},
  }
  text = _target(tmp_path, "ucf", "new_label")
  assert "apply eye makeup" in text
  assert text.endswith("<answer>ApplyEyeMakeup</answer>.")
  text = _target(tmp_path, "s4", "label_content")
  assert "lawn mover" in text.partition("The lawn_mover is at")[0]
  assert _annotate(media, tmp_path) == [
    f"{tmp_path} is complete: nothing to do"
  ]


def test_a_name_that_a_user_gives_stays(media, tmp_path):
  _annotate(media, tmp_path)
  path = tmp_path / display_names.FILE
  given = json.loads(path.read_text())
  given["unav"]["Dog"] = "barking dog"
  given["ks"] = {"of another day": "yesterday"}
  path.write_text(json.dumps(given))
  _annotate(media, tmp_path)
  assert json.loads(path.read_text()) == given
  text = _target(tmp_path, "unav", "label_content")
  assert "arking dog takes place" in text
  assert text.endswith("<event>Dog, (0 2)</event>.")


@pytest.mark.parametrize(
  "text", ["{", "[]", '{"ks": []}', '{"ks": {"a": 1}}', '{"ks": {"a": " "}}']
)
def test_names_that_are_none_are_an_error_that_names_the_file(
  media, tmp_path, text
):
  (tmp_path / display_names.FILE).write_text(text)
  with pytest.raises(errors.UserError, match=r"labels\.json"):
    _annotate(media, tmp_path)
