"""A run: its data, its numbers, its mistakes; programs are stood in for."""

import dataclasses

import jax
import numpy as np
import pytest

from crab_jax import errors
from crab_jax.ablation import grid
from crab_jax.ablation import programs as programs_lib
from crab_jax.ablation import run
from crab_jax.data import tasks
from crab_jax.evaluation import decode
from crab_jax.routers import statistics as router_statistics
from crab_jax.training import pmapped

_TASKS = len(tasks.Tasks())
_JOINT = grid.Run("all", ("ks", "meld"), "ilora_e2", "reasoning", 0)
_ALONE = grid.Run("ks", ("ks",), "lora", "reasoning", 0)


class _Runner(pmapped.PmapRunner):
  """Adds one to the adapter in each step; notes the samples that it sees."""

  loss = 2.0

  def __init__(self):
    self.seen = []

  def shard(self, tree):
    return tree

  def fetch(self, tree):
    return tree

  def shard_batch(self, batch):
    return batch

  def step(self, state, frozen, batch, key):
    ids = batch["sample_ids"].reshape(-1, batch["sample_ids"].shape[-1])
    self.seen += [tuple(row) for row in ids[ids[:, 0] >= 0].tolist()]
    params = jax.tree.map(lambda leaf: leaf + 1, state.params)
    sums = {"loss": self.loss, "gradient_norm": 1.0}
    return state.replace(params=params), jax.tree.map(np.float32, sums)


class _Answerer:
  """Right about "ks", wrong about the rest."""

  def answers(self, clips, params):
    self.params = params
    for clip in clips:
      right = clip.task == "ks"
      text = clip.reference["text"] if right else "<answer>nothing</answer>."
      yield decode.row(clip, text, None)


@dataclasses.dataclass
class _Programs:
  model: object
  runner: _Runner
  answerer: _Answerer
  gate_sums: object = None

  def adapter(self, seed):
    return {"lora_B": np.full(3, 10.0 * seed, np.float32)}

  def loss_sums(self, params, batch):
    """Three nats for every supervised token."""
    counts = np.zeros(_TASKS)
    kinds = np.take_along_axis(batch["tasks"], batch["supervised"], 1)
    np.add.at(counts, kinds.ravel(), batch["weights"].ravel())
    return {"task_nll": 3 * counts, "task_tokens": counts}


def _gate_sums(params, batch):
  """Four tokens: a quarter of each is the first head's, and none is won by it."""
  sums = np.zeros((_TASKS, 6))
  sums[:, :4] = [1, 3, 0, 4]
  return router_statistics.Statistics(
    {"model/q_proj": sums}, np.full(_TASKS, 4.0)
  )


@pytest.fixture(scope="module")
def made():
  """Method -> its stand-ins, once they are asked for."""
  found = {}

  def make(experiment, method, tokenizer, longest, table, cache):
    model = grid.model(experiment.model, method)
    gate_sums = _gate_sums if method == "ilora_e2" else None
    found[method] = _Programs(model, _Runner(), _Answerer(), gate_sums)
    found[method].longest = longest
    return found[method]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(programs_lib, "make", make)
    yield found


@pytest.fixture(scope="module")
def executor(small_study, made):
  """A executor whose rows hold one sample each, so that their order is seen."""
  experiment, workspace = small_study
  study = experiment.transfer
  rows = dataclasses.replace(study.rows, samples=1, waiting=1)
  study = dataclasses.replace(study, rows=rows)
  experiment = dataclasses.replace(experiment, transfer=study)
  return run.Executor(experiment, workspace, {"kernel": np.zeros(2)})


@pytest.fixture(scope="module")
def joint(executor, made):
  """The result of the run with all datasets, and what it saw."""
  return executor.execute(_JOINT), made["ilora_e2"].runner.seen[:]


@pytest.fixture(scope="module")
def alone(executor, made):
  """What is seen of one dataset alone."""
  executor.execute(_ALONE)
  return made["lora"].runner.seen[:]


def test_the_datasets_are_those_with_training_records(executor):
  assert executor.tasks == ("ks", "meld")


def test_a_result_says_what_was_done_and_what_came_out(executor, joint):
  found, seen = joint
  assert found["run"]["label"] == "all"
  assert found["steps"] == executor.steps(_JOINT)
  assert found["loss"] == 2
  assert found["heads"] == 2
  assert found["losses"] == pytest.approx({"ks": 3, "meld": 3})
  values = {task: score["value"] for task, score in found["scores"].items()}
  assert values == {"ks": 1, "meld": 0}
  assert found["scores"]["ks"]["n"] == 2  # Evaluation.limit
  clips = {task: score["clips"] for task, score in found["scores"].items()}
  assert clips == {"ks": [1, 1], "meld": [0, 0]}
  assert found["gates"] == {"ks": [0.25, 0.75], "meld": [0.25, 0.75]}
  assert found["seconds"] >= found["training"] >= 0
  numbers = [number for number, *_ in seen]
  wanted = {name: tasks.Tasks().number(name) for name in ("ks", "meld")}
  for name, number in wanted.items():
    assert found["samples"][name] == numbers.count(number) > 0


def test_another_seed_is_another_adapter_and_order(executor, made, joint):
  """The adapter begins at ten times its seed; every step adds one."""
  run = dataclasses.replace(_JOINT, seed=1)
  made["ilora_e2"].runner.seen.clear()
  executor.execute(run)
  params = made["ilora_e2"].answerer.params
  np.testing.assert_array_equal(params["lora_B"], 10 + executor.steps(run))
  np.testing.assert_array_equal(params["kernel"], 0)
  assert made["ilora_e2"].runner.seen != joint[1]


def test_what_trains_beside_the_adapter_begins_as_the_base_has_it(
  executor, small_study, made
):
  """In every run anew; the rest of the base stays as it is."""
  experiment, workspace = small_study
  study = dataclasses.replace(executor.study, trains=("projectors", "adapter"))
  base = {
    "visual": {"merger": {"kernel": np.full(2, 5.0, np.float32)}},
    "kernel": np.zeros(2, np.float32),
  }
  other = run.Executor(
    dataclasses.replace(experiment, transfer=study), workspace, base
  )
  for _ in range(2):
    other.execute(_ALONE)
    params = made["lora"].answerer.params
    steps = other.steps(_ALONE)
    np.testing.assert_array_equal(params["lora_B"], steps)
    np.testing.assert_array_equal(
      params["visual"]["merger"]["kernel"], 5 + steps
    )
    np.testing.assert_array_equal(params["kernel"], 0)


def test_a_part_of_the_datasets_leaves_no_gates(executor):
  found = executor.execute(dataclasses.replace(_ALONE, method="ilora_e2"))
  assert "gates" not in found
  assert set(found["scores"]) == set(found["losses"]) == {"ks"}


def test_a_dataset_comes_in_the_same_order_alone_and_together(joint, alone):
  number = tasks.Tasks().number("ks")
  together = [row for row in joint[1] if row[0] == number]
  least = min(len(alone), len(together))
  assert least > 3
  assert alone[:least] == together[:least]


def test_the_programs_of_a_method_are_made_once(executor, made, alone):
  first = made["lora"]
  executor.execute(dataclasses.replace(_ALONE, label="meld", tasks=("meld",)))
  assert made["lora"] is first
  assert first.longest.tokens > 0


def test_a_trial_answers_no_clips_and_has_programs_of_its_rate(executor, made):
  executor.execute(_ALONE)
  first = made["lora"]
  trial = dataclasses.replace(_ALONE, rate=0.5)
  found = executor.execute(trial, 0.5)
  assert made["lora"] is not first
  assert (found["rate"], found["scores"]) == (0.5, {})
  assert set(found["losses"]) == {"ks"}


def test_a_trial_that_leaves_the_finite_numbers_is_a_result(
  executor, monkeypatch
):
  monkeypatch.setattr(_Runner, "loss", float("nan"))
  found = executor.execute(dataclasses.replace(_ALONE, rate=9.0), 9.0)
  assert (found["losses"], found["scores"], found["loss"]) == ({}, {}, None)
  assert found["steps"] == executor.steps(_ALONE)


def test_a_run_may_see_other_numbers_of_samples(executor):
  more = dataclasses.replace(_JOINT, samples=2 * executor.study.samples)
  assert executor.steps(more) == 2 * executor.steps(_JOINT)


def test_a_loss_that_is_not_finite_names_the_run(executor, monkeypatch):
  monkeypatch.setattr(_Runner, "loss", float("nan"))
  with pytest.raises(errors.UserError, match="reasoning.ks.lora.seed0"):
    executor.execute(_ALONE)


@pytest.mark.slow
def test_runs_of_two_methods_train(small_study, backbone):
  """The programs themselves; the same run gives the same numbers again."""
  executor = run.Executor(*small_study, backbone)
  found = executor.execute(_JOINT)
  plain = executor.execute(dataclasses.replace(_JOINT, method="lora"))
  assert found["parameters"] > plain["parameters"]
  assert len(found["gates"]["ks"]) % 2 == 0
  assert "gates" not in plain
  assert np.isfinite(list(found["losses"].values())).all()
  again = executor.execute(_JOINT)
  for name in ("losses", "scores", "samples", "gates"):
    assert again[name] == found[name]
