"""The adapter's settings: their ranges, and the scale."""

import dataclasses

import pytest

from crab_jax import configs


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: configs.ILora(rank=0), "ILora.rank=0"),
    (lambda: configs.ILora(heads=0), "ILora.heads=0"),
    (lambda: configs.ILora(dropout=1.0), "ILora.dropout=1.0"),
    (lambda: configs.ILora(targets="towers"), "ILora.targets"),
    (lambda: configs.ILora(router="none"), "ILora.router"),
    (lambda: configs.ILora(tasks=0), "ILora.tasks=0"),
    (lambda: configs.ILora(tasks=1025), "ILora.tasks=1025"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()


def test_the_update_is_scaled_by_alpha_over_rank():
  assert configs.ILora(rank=16, alpha=32).scale == 2


@pytest.mark.parametrize(
  ("inputs", "outputs", "parameters"),
  [
    (3584, 3584, 1_845_760),  # q_proj and o_proj of the 7B decoder
    (3584, 512, 666_112),
    (3584, 18944, 7_744_000),
    (18944, 3584, 3_857_920),
    (1280, 3420, 1_480_960),  # gate_proj and up_proj of its vision tower
  ],
)
def test_a_projection_costs_what_the_paper_counts(inputs, outputs, parameters):
  adapter = configs.ILora(rank=128, heads=3)
  assert adapter.parameters(inputs, outputs) == parameters
  assert adapter.flops(inputs, outputs) == 2 * parameters
  assert adapter.tensors == 5  # the router, A and three B


@pytest.mark.parametrize(
  ("changes", "routes", "names"),
  [
    ({}, True, {"lora_A", "lora_B", "lora_route"}),
    ({"heads": 1}, False, {"lora_A", "lora_B"}),
    ({"router": "uniform"}, False, {"lora_A", "lora_B"}),
    ({"shared_a": False}, True, {"lora_A", "lora_B", "lora_route"}),
  ],
)
def test_an_adapter_says_whether_it_routes(changes, routes, names):
  adapter = configs.ILora(**changes)
  assert adapter.routes == routes
  assert set(adapter.shapes(8, 8)) == names
  assert configs.tiny(adapter=adapter).routes == routes


def test_a_router_of_tasks_has_a_bias_for_each():
  adapter = configs.ILora(router="task", tasks=5)
  plain = configs.ILora()
  assert adapter.reads_tasks and not plain.reads_tasks
  assert adapter.parameters(8, 8) == plain.parameters(8, 8) + 5 * 3
  assert adapter.flops(8, 8) == plain.flops(8, 8) + 3  # additions of one row
  assert adapter.task_obstacle(5) is None
  assert "ILora.tasks=5" in adapter.task_obstacle(6)
  assert plain.task_obstacle(1000) is None
  one = dataclasses.replace(adapter, heads=1)
  assert not one.reads_tasks and "lora_task" not in one.shapes(8, 8)


def test_without_an_adapter_nothing_routes():
  assert not configs.tiny().routes
  assert configs.tiny().tower_adapter is None


def test_the_towers_are_adapted_on_request():
  adapter = configs.ILora(targets="lm+towers")
  assert configs.tiny(adapter=adapter).tower_adapter is adapter
  adapter = dataclasses.replace(adapter, targets="lm")
  assert configs.tiny(adapter=adapter).tower_adapter is None


def test_differences_leave_out_what_only_training_sees():
  adapter = configs.ILora(rank=4)
  other = dataclasses.replace(adapter, dropout=0.5, shared_mask=True)
  assert adapter.differences(other) == []
  other = dataclasses.replace(adapter, rank=8, router="uniform")
  wanted = ["rank 4 and not 8", "router 'token' and not 'uniform'"]
  assert adapter.differences(other) == wanted


def test_the_official_file_has_one_a():
  assert configs.ILora().official_obstacle is None
  assert "one A" in configs.ILora(shared_a=False).official_obstacle
