"""A run: one source of records, stages of their own names."""

import pytest

from crab_jax import configs

_STAGE = configs.Stage("a", 1, "all")
_NONE = configs.Stage("none", 0, "all")


def _with(**changes):
  fields = {"stages": [_STAGE], "world": configs.World(), **changes}
  return configs.Experiment(configs.tiny(), **fields)


@pytest.mark.parametrize(
  ("make", "culprit"),
  [
    (lambda: _with(world=None), "Experiment.world and Experiment.records"),
    (lambda: _with(records="there"), "not both"),
    (lambda: _with(stages=[]), "Experiment.stages"),
    (lambda: _with(stages=[_STAGE, _STAGE]), "Experiment.stages"),
    (lambda: _with(stages=[_NONE]), "Experiment.stages"),
    (lambda: _with(stages=[configs.Stage("a", 1, "adapter")]), "Model.adapter"),
  ],
)
def test_a_contradiction_names_its_fields(make, culprit):
  with pytest.raises(ValueError, match=culprit):
    make()


def test_a_stage_of_no_steps_is_left_out():
  assert _with(stages=[_NONE, _STAGE]).stages == [_STAGE]


def test_once_the_adapter_trains_every_later_stage_trains_it_too():
  stages = [
    configs.Stage("a", 1, "projectors"),
    configs.Stage("b", 1, ("projectors", "adapter")),
    configs.Stage("c", 1, "adapter"),
  ]
  model = configs.tiny_clip_beats(adapter=configs.ILora())
  built = configs.Experiment(model, stages, records="a")
  assert len(built.stages) == 3
  with pytest.raises(ValueError, match=r"\['c', 'a'\] one without the adapter"):
    configs.Experiment(model, [stages[2], stages[0]], records="a")
  with pytest.raises(ValueError, match="needs Model.adapter"):
    configs.Experiment(configs.tiny_clip_beats(), stages, records="a")
