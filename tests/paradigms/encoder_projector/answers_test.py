"""All that answers takes the family as any other: commands and server."""

import dataclasses
import json
import pathlib
import threading

import pytest

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.data import packing
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.evaluation import folder
from crab_jax.paradigms import generate
from crab_jax.serving import engine as engine_lib
from crab_jax.serving import interface
from tests import cli_calls
from tests.data import clips
from tests.data import small_records
from tests.paradigms.encoder_projector import small

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_NEW = 6  # tokens of an answer at most
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A model, its adapter, records, a clip of a film and a sound."""
  root = tmp_path_factory.mktemp("family")
  small.save(root)
  found = [small.found(split) for split in ("train", "val", "test")]
  small_records.write(root / "records", sum(found, []))
  clips.write_video(root / "clip.mp4", 12)
  clips.write_audio(root / "clip.wav", clips.tone(3.0))
  return root


def _ended(command, place, folder, *arguments):
  """What a command has written to a folder of its own."""
  work, out = folder / "work", folder / "out"
  work.mkdir()
  asked = (
    f"--checkpoint={place / 'model'}",
    f"--adapter={place / 'adapter'}",
    f"--out={out}",
    *arguments,
  )
  (call,) = cli_calls.call(f"crab_jax.{command}", [asked], work)
  assert call.code in (None, 0), call.stderr[-2000:]
  return out


@pytest.mark.parametrize("task", ["ave", "avqa", "s4"])
def test_predict_answers(place, tmp_path, task):
  question = ("--question=How many?",) if task == "avqa" else ()
  out = _ended(
    "predict",
    place,
    tmp_path,
    f"--video={place / 'clip.mp4'}",
    f"--audio={place / 'clip.wav'}",
    f"--task={task}",
    f"--max_new_tokens={_NEW}",
    "--gates",
    *question,
  )
  (line,) = json.loads((out / "answers.json").read_text())
  assert line["task"] == task and line["text"]
  assert (out / f"{task}_gates.png").stat().st_size > 1000


def _settings(place):
  return (
    f"--gin_file={_ROOT / 'gin/base.gin'}",
    f"--data={place / 'records'}",
    "--gin_param=Evaluation.batch=2",
    f"--gin_param=Evaluation.max_new_tokens={_NEW}",
  )


def test_its_routers_are_shown(place, tmp_path):
  rows = ("--router", "--gin_param=Rows.rows=1", "--gin_param=Rows.tokens=768")
  out = _ended("evaluate", place, tmp_path, *_settings(place), *rows)
  found = json.loads((out / "router.json").read_text())
  assert found["samples"] == 4 * len(small.SETS)
  assert set(found["towers"]) == {
    "language model",
    "vision tower",
    "audio tower",
  }
  assert 0 < found["towers"]["language model"]["entropy"] <= 1


@dataclasses.dataclass
class _Asked:
  """A prompt, and what the engine has answered so far."""

  sample: samples.Sample
  tokens: list[int] = dataclasses.field(default_factory=list)
  ended: threading.Event = dataclasses.field(default_factory=threading.Event)

  def on_event(self, event):
    if isinstance(event, interface.Tokens):
      self.tokens += event.ids
    if isinstance(event, interface.Finished):
      self.ended.set()


def test_a_server_answers_as_generation_does(place):
  """Three prompts at once, two of them about one clip, against one by one."""
  model = folder.load(place / "model", place / "adapter")
  made = folder.sample_maker(model, tasks.Tasks())
  prompts = [
    made.prompt(
      small_records.record("avqa", row, "test", question={"question": text})
    )
    for row, text in ((0, "How many?"), (0, "What is it?"), (1, "How many?"))
  ]
  size = max(len(prompt["tokens"]) for prompt in prompts) + 8
  rows = dataclasses.replace(
    small.ROWS, rows=1, tokens=size, frame_pairs=16, chunks=16, samples=1
  )
  end = model.tokenizer.end
  sampling = generate.Sampling(max_new_tokens=_NEW, stop_tokens=(end,))
  generator = generate.Generator(model.config, sampling)
  layout = packing.Layout(1, rows, model.config, model.tokenizer.pad)
  expected = []
  for prompt in prompts:
    batch = batch_lib.inputs(layout.stack([[prompt]]))
    answer = generator(model.params, batch)
    expected.append(tuple(answer.tokens[0, : answer.lengths[0]].tolist()))
  assert len(set(expected)) > 1
  settings = configs.Slots(
    slots=2,
    prompt_tokens=size,
    new_tokens=_NEW,
    text_tokens=size,
    suffix_tokens=16,
    burst=2,
  )
  engine = engine_lib.of_folder(model, settings, usual=())
  engine.start()
  try:
    asked = [_Asked(prompt) for prompt in prompts]
    for one in asked:
      engine.submit(interface.Job(one.sample, one.on_event, group="clip"))
    for one in asked:
      assert one.ended.wait(120)
  finally:
    engine.stop(0)
  assert [tuple(one.tokens) for one in asked] == expected
  assert engine.stats().cached_tokens > 0
