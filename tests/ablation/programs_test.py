"""The programs of a method: what they are made of, before any is compiled."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from crab_jax import batch as batch_lib
from crab_jax import configs
from crab_jax.ablation import grid
from crab_jax.ablation import programs
from crab_jax.data import samples
from crab_jax.data import tasks
from crab_jax.evaluation import held_out
from crab_jax.paradigms import generate
from crab_jax.paradigms import thinker

_LONGEST = samples.Lengths(400, 10, 8)


@pytest.fixture
def make(small_study):
  experiment, workspace = small_study
  return lambda method: programs.make(
    experiment, method, workspace.tokenizer, _LONGEST, tasks.Tasks()
  )


@pytest.mark.parametrize(
  ("method", "routes"), [("lora", False), ("ilora_e2", True)]
)
def test_a_method_is_its_adapter_and_sums_gates_where_it_routes(
  make, method, routes
):
  made = make(method)
  assert made.model.adapter.heads == (2 if routes else 1)
  assert (made.gate_sums is not None) is routes


def test_a_fresh_adapter_has_the_method_s_parameters(make):
  made = make("ilora_e2")
  shapes = jax.eval_shape(made.adapter, 0)
  paths = jax.tree_util.tree_leaves_with_path(shapes)
  assert {path[-1].key[:5] for path, _ in paths} == {"lora_"}
  sizes = sum(leaf.size for _, leaf in paths)
  assert sizes == grid.parameters(made.model)


def test_the_loss_is_summed_by_dataset(make):
  """The shapes alone: nothing is compiled."""
  made = make("lora")
  batch = batch_lib.abstract(made.model, configs.Rows(1, 8, 1, 1))
  params = nn.meta.unbox(thinker.abstract(made.model))
  sums = jax.eval_shape(made.loss_sums, params, batch)
  assert sums["task_nll"].shape == sums["task_tokens"].shape


def test_all_prompts_share_one_shape(make, small_study, monkeypatch):
  """Those of the longest prompt of the study, so that one program serves all."""
  shapes = set()

  def stand_in(self, params, batch, key=None):
    shapes.add((batch["tokens"].shape, batch["frames"].shape))
    rows = batch["tokens"].shape[0]
    return generate.Generation(
      tokens=jnp.zeros((rows, 1), jnp.int32),
      lengths=jnp.zeros(rows, jnp.int32),
      ended=jnp.ones(rows, bool),
    )

  monkeypatch.setattr(generate.Generator, "__call__", stand_in)
  experiment, workspace = small_study
  made = make("lora")
  for task in ("ks", "meld"):
    clips = held_out.of_splits(workspace.records, {task: "test"})
    assert len(list(made.answerer.answers(clips, {}))) == 3
  (shape,) = shapes
  assert shape[0][1] >= _LONGEST.tokens
