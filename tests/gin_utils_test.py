"""gin files become dataclasses; every mistake in them is one clear error."""

import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax import gin_utils

_BASE = """
from __gin__ import dynamic_registration
from crab_jax import configs

LAYERS = 4
configs.tiny.adapter = @configs.ILora()
configs.ILora.rank = 8
configs.World.seed = 3
only/configs.Stage.name = "only"
only/configs.Stage.steps = %LAYERS
only/configs.Stage.trains = "all"
configs.Experiment.model = @configs.tiny()
configs.Experiment.world = @configs.World()
configs.Experiment.stages = [@only/configs.Stage()]
"""


@pytest.fixture
def base(tmp_path):
  path = tmp_path / "base.gin"
  path.write_text(_BASE)
  return str(path)


def test_builds_the_experiment(base):
  built = gin_utils.experiment([base], ["ILora.heads=2"])
  assert built.model.adapter == configs.ILora(rank=8, heads=2)
  assert built.stages[0].steps == 4
  assert "configs.World.seed = 3" in gin_utils.operative_config()


def test_a_scope_is_kept(base):
  built = gin_utils.experiment([base], ["only/Stage.steps=7", "World.seed=5"])
  assert built.world.seed == 5
  assert built.stages[0].steps == 7


@pytest.mark.parametrize(
  ("setting", "culprit"),
  [
    ("ILora.rnk=2", "rnk"),
    ("Ilora.rank=2", "Ilora"),
    ("ILora.rank='two'", "ILora.rank"),
    ("ILora.rank=%MISSING", "MISSING"),
    ("ILora.rank=0", "ILora.rank"),
    ("Mesh.fsdp=2", "Mesh.fsdp"),
    ("other/Stage.steps=2", "other/configs.Stage.steps"),
    ("rank=2", "Class.field=value"),
    ("ILora.rank", "Class.field=value"),
    ("ILora.rank=", "ILora.rank"),
  ],
)
def test_a_mistake_is_named(base, setting, culprit):
  with pytest.raises(errors.UserError, match=culprit) as caught:
    gin_utils.experiment([base], [setting])
  assert "\n" not in str(caught.value)


def test_a_later_file_may_cut_off_what_an_earlier_one_set(base, tmp_path):
  extra = tmp_path / "extra.gin"
  extra.write_text("""
from __gin__ import dynamic_registration
from crab_jax import configs
configs.Experiment.world = None
configs.Experiment.records = "records"
""")
  built = gin_utils.experiment([base, str(extra)], [])
  assert built.world is None
  assert "World" not in gin_utils.operative_config()


def test_an_unused_macro_is_named(base, tmp_path):
  extra = tmp_path / "extra.gin"
  extra.write_text("UNUSED = 3\n")
  with pytest.raises(errors.UserError, match="UNUSED"):
    gin_utils.experiment([base, str(extra)], [])


@pytest.mark.parametrize("head", ["", "from crab_jax import configs\n"])
@pytest.mark.parametrize(
  ("line", "culprit"),
  [
    ("Nothing.x = 1", "Nothing"),
    ("nosuch.Nothing.x = 1", "nosuch"),
    ("configs.Nothing.x = 1", "configs"),
    ("configs.Experiment.model = @Nothing()", "Nothing"),
    ("configs.Experiment.model = @configs.Nothing()", "configs"),
    ("import nosuch", "nosuch"),
    ("from crab_jax import nosuch", "nosuch"),
    ('include "nosuch.gin"', "nosuch.gin"),
  ],
)
def test_what_a_file_names_and_nothing_has_is_named(
  base, tmp_path, head, line, culprit, capfd
):
  path = tmp_path / "mine.gin"
  path.write_text(f"from __gin__ import dynamic_registration\n{head}{line}\n")
  for files in ([base, str(path)], [str(path)]):
    with pytest.raises(errors.UserError, match="gin: .*" + culprit) as found:
      gin_utils.experiment(files, [])
    assert "\n" not in str(found.value)
    assert not capfd.readouterr().err


def test_a_missing_file_is_named():
  with pytest.raises(errors.UserError, match="nowhere.gin"):
    gin_utils.experiment(["nowhere.gin"], [])


@pytest.mark.parametrize(
  ("name", "before"),
  [
    ("gin/smoke.gin", "--gin_file=gin/base.gin"),
    ("gin/data/records.gin", "--gin_file=gin/base.gin"),
    ("gin/ablation/transfer_small.gin", "--gin_file=gin/ablation/transfer.gin"),
    ("gin/mesh/v6e_1.gin", "--gin_file=gin/crab_plus_3b.gin"),
  ],
)
def test_a_difference_alone_is_told_what_comes_before_it(name, before):
  with pytest.raises(errors.UserError, match=f"give {before} before") as caught:
    gin_utils.experiment([name], [])
  assert str(caught.value).startswith(f"--gin_file={name} is only a difference")
  assert "\n" not in str(caught.value)


def test_a_difference_of_ones_own_is_told_so_too(tmp_path):
  extra = tmp_path / "extra.gin"
  extra.write_text(f"{gin_utils._IMPORTS}configs.World.seed = 3\n")
  with pytest.raises(errors.UserError, match="gin/base.gin.*before it"):
    gin_utils.experiment([str(extra)], [])


def test_settings_alone_can_complete_a_difference(base, tmp_path):
  """What is bound counts, not where."""
  text = _BASE.replace("configs.Experiment.model = @configs.tiny()\n", "")
  path = tmp_path / "short.gin"
  path.write_text(text)
  built = gin_utils.experiment(
    [str(path)], ["Experiment.model=@configs.tiny()"]
  )
  assert built == gin_utils.experiment([base], [])
