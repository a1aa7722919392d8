"""The command `evaluate`: one process, several, a stop, files without a model."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from crab_jax import configs
from crab_jax.data import prepared_records
from crab_jax.data import tokenizer
from crab_jax.evaluation import assessment
from crab_jax.paradigms import front
from crab_jax.training import model_folder
from crab_jax.training import state
from crab_jax.weights import adapter
from crab_jax.weights import base
from tests import cli_calls
from tests import compilations
from tests.data import small_records
from tests.models import random_parameters

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_TASKS = ("ks", "meld")
_CLIPS = 12  # a task
_SCENES = 2  # that both tasks ask about
_NOTICE = 30  # seconds from SIGTERM to the end


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A folder with a random model and the records of two test sets."""
  root = tmp_path_factory.mktemp("evaluate")
  found = [
    small_records.record(task, i, "test")
    for task in _TASKS
    for i in range(_CLIPS)
  ] + [
    small_records.record(task, i, "unified")
    for task in _TASKS
    for i in range(_SCENES)
  ]
  small_records.small_tokenizer(found).save(root / base.TOKENIZER)
  model = small_records.MODEL
  params = random_parameters.draw(model)
  train = [small_records.record(t, i) for t in _TASKS for i in range(_CLIPS)]
  small_records.write(root / "records", [*train, *found])
  files = {base.TOKENIZER: root / base.TOKENIZER}
  model_folder.save(root / "model", params, model, files)
  return root


def _arguments(place, out, *more):
  return [
    "--gin_file=gin/base.gin",
    "--gin_param=Evaluation.batch=2",
    "--gin_param=Evaluation.max_new_tokens=4",
    "--gin_param=Evaluation.unified=True",
    f"--checkpoint={place / 'model'}",
    f"--data={place / 'records'}",
    f"--out={out}",
    *more,
  ]


def _environment(devices=1):
  flag = f"--xla_force_host_platform_device_count={devices}"
  return {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
    "XLA_FLAGS": flag if devices > 1 else "",
    "PYTHONPATH": str(_ROOT),
  }


def _command(*arguments, devices=1):
  return subprocess.run(
    [sys.executable, "-m", "crab_jax.evaluate", *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd=_ROOT,
    env=_environment(devices),
  )


def _hosts(port, arguments):
  return [
    subprocess.Popen(
      [sys.executable, "-m", "crab_jax.evaluate", *arguments],
      cwd=_ROOT,
      env={
        **_environment(devices=2),
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": str(host),
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for host in range(2)
  ]


def _rows(folder):
  """(id, text) of all rows, file by file, line by line."""
  return [
    (row["id"], row["text"])
    for task in _TASKS
    for row in map(
      json.loads, (folder / f"{task}.jsonl").read_text().splitlines()
    )
  ]


@pytest.fixture(scope="module")
def alone(place):
  """What one process on one device answers."""
  out = place / "alone"
  done = _command(*_arguments(place, out))
  assert done.returncode == 0, done.stderr[-2000:]
  return out


@pytest.mark.slow
def test_rows_stand_in_order_with_their_scores(alone):
  names = [name for name, _ in _rows(alone / "predictions")]
  assert names == [f"{t}/test/{i}" for t in _TASKS for i in range(_CLIPS)]
  line = (alone / "predictions" / "ks.jsonl").read_text().splitlines()[0]
  row = json.loads(line)
  assert {"text", "reference", "error"} <= row.keys()
  asked = "A video and an audio: [video] [audio] What action makes this sound?"
  assert row["prompt"] == asked
  assert row["parsed"]["kind"] == "label"
  assert "score" in row["score"]


@pytest.mark.slow
def test_scenes_of_all_tasks_are_answered_beside(alone):
  names = [name for name, _ in _rows(alone / "predictions_of_unified")]
  assert names == [f"{t}/unified/{i}" for t in _TASKS for i in range(_SCENES)]
  said = json.loads((alone / "report.json").read_text())["unified"]
  assert (said["scenes"], said["pairs"]) == (_SCENES, _SCENES * len(_TASKS))
  assert said["families"].keys() == {"action", "emotion"}
  assert (alone / "unified.html").is_file()


@pytest.mark.slow
def test_nothing_is_decoded_twice(place, alone):
  done = _command(*_arguments(place, alone))
  assert done.returncode == 0, done.stderr[-2000:]
  assert f"{2 * _CLIPS}/{2 * _CLIPS}" in done.stderr


@pytest.mark.slow
def test_another_model_s_answers_are_not_taken(place, alone):
  again = _arguments(place, alone, "--gin_param=Evaluation.max_new_tokens=5")
  done = _command(*again)
  assert done.returncode == 2
  assert "answers of another run (max_new_tokens differ)" in done.stderr


@pytest.mark.slow
def test_answers_of_records_prepared_anew_are_not_taken(place, alone, tmp_path):
  fewer = [
    small_records.record(task, i, split)
    for task in _TASKS
    for i in range(_CLIPS - 1)
    for split in ("train", "test")
  ]
  small_records.write(tmp_path / "records", fewer)
  done = _command(*_arguments(place, alone, f"--data={tmp_path / 'records'}"))
  assert done.returncode == 2
  assert f"({_TASKS[0]} records, {_TASKS[1]} records differ)" in done.stderr


@pytest.mark.slow
def test_two_processes_killed_and_started_again_equal_one(place, alone):
  out = place / "both"
  arguments = _arguments(place, out, "--distributed")
  port = 20000 + os.getpid() % 20000
  hosts = _hosts(port, arguments)
  folder = out / "predictions"
  end = time.monotonic() + 300
  while not any(p.stat().st_size for p in folder.glob("*.process-*.jsonl")):
    assert all(host.poll() is None for host in hosts), [
      host.communicate()[1][-1500:] for host in hosts
    ]
    assert time.monotonic() < end, "no row came"
    time.sleep(0.01)
  for host in hosts:
    host.send_signal(signal.SIGKILL)
    host.wait()
  left = [p for p in folder.glob("*.jsonl") if p.stat().st_size]
  assert left and not list(folder.glob("ks.jsonl"))
  with left[0].open("a") as file:
    file.write('{"id": "cut o')  # as a kill in the middle of a write leaves it
  said = [host.communicate(timeout=600) for host in _hosts(port + 1, arguments)]
  assert f"report: {out}" in said[0][0], said[0][1][-2000:]
  assert "report:" not in said[1][0]
  assert _rows(folder) == _rows(alone / "predictions")
  assert not list(folder.glob("*.process-*"))
  one, two = (
    json.loads((o / "report.json").read_text())["tasks"] for o in (alone, out)
  )
  assert one == two


@pytest.mark.slow
def test_sigterm_ends_it_in_time_and_no_row_is_lost_or_repeated(place, alone):
  out = place / "stopped"
  folder, arguments = out / "predictions", _arguments(place, out)
  host = subprocess.Popen(
    [sys.executable, "-m", "crab_jax.evaluate", *arguments],
    cwd=_ROOT,
    env=_environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  end = time.monotonic() + 300
  while not any(path.stat().st_size for path in folder.glob("*.jsonl")):
    assert host.poll() is None, host.communicate()[1][-2000:]
    assert time.monotonic() < end, "no row came"
    time.sleep(0.01)
  host.terminate()
  said, errors = host.communicate(timeout=_NOTICE)
  assert host.returncode == 0, errors[-2000:]
  assert "stopped by SIGTERM; the same command goes on" in said
  assert not (out / "report.html").exists()
  done = _command(*arguments)
  assert done.returncode == 0, done.stderr[-2000:]
  # It went on: its bar never stood at the first of all clips.
  assert not re.search(rf"\b0/{2 * _CLIPS}\b", done.stderr)
  assert _rows(folder) == _rows(alone / "predictions")


@pytest.mark.slow
def test_rescore_gives_the_same_numbers(place, alone, tmp_path):
  """From the rows of a decoding, and from the official form of them."""
  before = json.loads((alone / "report.json").read_text())["tasks"]
  arguments = ("--rescore", f"--out={tmp_path / 'ours'}")
  done = _command(*arguments, f"--predictions={alone / 'predictions'}")
  assert done.returncode == 0, done.stderr[-2000:]
  ours = json.loads((tmp_path / "ours" / "report.json").read_text())
  assert ours["tasks"] == before
  official = tmp_path / "official"
  official.mkdir()
  for task in _TASKS:
    rows = (alone / "predictions" / f"{task}.jsonl").read_text().splitlines()
    lines = [
      {
        "task_name": row["task"],
        "output": row["reference"]["text"],
        "predict": row["text"],
      }
      for row in map(json.loads, rows)
    ]
    (official / f"inference_{task}.jsonl").write_text(
      "".join(json.dumps(line) + "\n" for line in lines)
    )
  done = _command(
    "--rescore",
    f"--predictions={official}",
    f"--data={place / 'records'}",
    f"--out={tmp_path / 'joined'}",
  )
  assert done.returncode == 0, done.stderr[-2000:]
  note = "ks, meld: 12 lines without ids, joined by order; count and references"
  assert note in done.stdout
  joined = json.loads((tmp_path / "joined" / "report.json").read_text())
  for task in before.values():
    task["details"]["cut_off"] = {}  # an official line does not tell
  assert joined["tasks"] == before
  assert "joined by order" in joined["notes"][0]


@pytest.mark.slow
def test_the_routers_are_shown(place, tmp_path):
  """Of a model with a random adapter; nothing is decoded."""
  lora = configs.ILora(rank=2, heads=3, alpha=4.0, dropout=0.0)
  model = dataclasses.replace(small_records.MODEL, adapter=lora)
  params = random_parameters.draw(model, b=0.1)
  tuned, _ = state.split(params, "adapter")
  adapter.save(tmp_path / "adapter", tuned, lora)
  done = _command(
    *_arguments(place, tmp_path / "out", "--router"),
    f"--adapter={tmp_path / 'adapter'}",
    "--gin_param=Rows.rows=1",
  )
  assert done.returncode == 0, done.stderr[-2000:]
  found = json.loads((tmp_path / "out" / "router.json").read_text())
  assert found["samples"] == _CLIPS * len(_TASKS)
  assert found["distances"]["datasets"] == list(_TASKS)
  assert set(found["towers"]) == {
    "language model",
    "vision tower",
    "audio tower",
  }
  assert 0 < found["towers"]["language model"]["entropy"] <= 1
  assert found["dead_towers"] == []
  for name in ("samples", "distances", "datasets_vision_tower"):
    assert (tmp_path / "out" / "router" / f"{name}.png").stat().st_size > 1000
  assert not (tmp_path / "out" / "predictions").exists()


@pytest.mark.slow
def test_a_model_without_a_router_has_none_to_show(place, tmp_path):
  done = _command(*_arguments(place, tmp_path / "out", "--router"))
  assert done.returncode == 2
  assert "the model has no router" in done.stderr
  assert "Traceback" not in done.stderr


_MISTAKES = {
  (): "--checkpoint is required",
  ("--rescore",): "--out is required",
  ("--rescore", "--out=o", "--checkpoint=x"): "--checkpoint does not go with",
  ("--rescore", "--out=o", "--limit=3"): "--limit needs --data",
  ("--rescore", "--out=o", "--compiled=c"): "--compiled does not go with",
  ("--rescore", "--out=o"): "o/predictions is no folder",
  ("--rescore", "--out=o", "--predictions=."): "holds no predictions",
  ("--tasks=ks,nosuch", "--rescore", "--out=o", "--predictions=."): "nosuch",
  ("--checkpoint=a", "--data=b", "--out=c", "--predictions=d"): "--rescore",
}


def test_a_mistake_is_one_line(tmp_path):
  folder = tmp_path / "empty"
  folder.mkdir()
  calls = cli_calls.call("crab_jax.evaluate", list(_MISTAKES), folder)
  for made, culprit in zip(calls, _MISTAKES.values(), strict=True):
    assert made.code == 2
    assert culprit in made.stderr
    assert made.stderr.count("\n") == 1
  assert not list(folder.iterdir())


def test_a_report_that_lacks_scores_ends_with_4(tmp_path):
  """What one task lacks is a line; the others have their report."""
  folder = tmp_path / "empty"
  folder.mkdir()
  files = {
    "ks": {"id": "a", "text": "<answer>dog</answer>", "reference": "dog"},
    "s4": {"id": "b", "text": "[1,2,3,4] [2,3]", "reference": "dog"},
    "avvp": {"id": "c", "text": "x", "reference": "Chainsaw"},
  }
  for name, rows in (("all", files), ("whole", ["ks"]), ("none", ["s4"])):
    (tmp_path / name).mkdir()
    for task in rows:
      path = tmp_path / name / f"{task}.jsonl"
      path.write_text(json.dumps(files[task]) + "\n")
  calls = [
    ("--rescore", f"--predictions={tmp_path / n}", f"--out={tmp_path}/of_{n}")
    for n in ("all", "whole", "none")
  ]
  codes = [c.code for c in cli_calls.call("crab_jax.evaluate", calls, folder)]
  assert codes == [4, 0, 2]
  report = json.loads((tmp_path / "of_all" / "report.json").read_text())
  assert list(report["tasks"]) == ["ks"]
  assert list(report["unscored"]) == ["avvp", "s4"]
  assert not (tmp_path / "of_none" / "report.html").exists()


@pytest.mark.slow
def test_a_second_evaluation_of_the_same_shapes_compiles_nothing(
  place, tmp_path
):
  found = []
  for out in ("one", "two"):
    call = _arguments(place, tmp_path / out, "--limit=4", "--tasks=ks")
    found += compilations.together("crab_jax.evaluate", [call], tmp_path / "u")
  first, second = found
  assert first.code == second.code == 0, first.stderr
  assert first.compiled > 0
  assert second.programs > second.compiled == 0


@pytest.mark.slow
def test_the_base_answers_beside_its_adapter(place, tmp_path):
  """The same clips twice: as the adapter has it, and as the base has it."""
  lora = configs.ILora(heads=2, rank=2, targets="lm")
  model = dataclasses.replace(small_records.MODEL, adapter=lora)
  params = random_parameters.draw(model, b=1.0)
  prepared = prepared_records.read(place / "records")
  config = configs.Evaluation(
    batch=2, max_new_tokens=4, limit=2, tasks=("ks",), base_alone=True
  )

  def assess(name, model, params):
    subject = assessment.Subject(
      model,
      params,
      tokenizer.load(
        place / base.TOKENIZER, front.of(small_records.MODEL).grammar
      ),
      prepared,
    )
    rows = configs.Rows(rows=1, tokens=512, frame_pairs=16, chunks=16)
    assessment.assess(
      subject, configs.Data(), config, rows, tmp_path / name, {}, []
    )
    return tmp_path / name

  adapted = assess("adapted", model, params)
  _, frozen = state.split(params, "adapter")
  plain = assess("plain", small_records.MODEL, frozen)
  answers = {
    name: [
      json.loads(line)["text"]
      for line in (folder / "ks.jsonl").read_text().splitlines()
    ]
    for name, folder in (
      ("adapter", adapted / "predictions"),
      ("base", adapted / assessment.BASE_ALONE),
      ("plain", plain / "predictions"),
    )
  }
  assert answers["base"] == answers["plain"] != answers["adapter"]
  both, one = (
    json.loads((folder / "report.json").read_text())["tasks"]["ks"]
    for folder in (adapted, plain)
  )
  assert both["base_alone"] == one["value"]
  assert "base_alone" not in one  # without an adapter there is nothing beside
