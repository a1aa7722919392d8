"""The adapter folder, and whether an adapter fits a model."""

import dataclasses
import json
import re

import flax.traverse_util
import jax
import ml_dtypes
import numpy as np
import pytest
from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.models import ilora
from crab_jax.paradigms import thinker
from crab_jax.weights import adapter

_LORA = configs.ILora(rank=3, heads=2, alpha=5.0)


def _model(lora=_LORA, **changes):
  # Scanned layers: the tree is the same, and is made faster.
  return configs.tiny(adapter=lora, remat="full", **changes)


_BARE = _model(None)


@pytest.fixture(scope="module")
def params():
  """Base and adapter, random."""
  shapes = nn.meta.unbox(thinker.abstract(_model()))
  flat = flax.traverse_util.flatten_dict(shapes, sep="/")
  rng = np.random.default_rng(0)
  return flax.traverse_util.unflatten_dict(
    {
      path: rng.standard_normal(leaf.shape, np.float32)
      for path, leaf in flat.items()
    },
    sep="/",
  )


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_round_trip(tmp_path, dtype, params):
  params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
  made_on = adapter.fingerprint(params)
  adapter.save(tmp_path / "a", params, _LORA, made_on)
  loaded, model = adapter.load(tmp_path / "a", _BARE, params)
  assert model == _model()
  expected, found = ilora.leaves(params), ilora.leaves(loaded)
  assert found.keys() == expected.keys()
  assert len(found) == 39  # 13 projections, three leaves each
  for path, leaf in found.items():
    assert leaf.dtype == dtype
    assert leaf.tobytes() == expected[path].tobytes()


def test_saving_again_replaces_and_leaves_nothing(tmp_path, params):
  for _ in range(2):
    adapter.save(tmp_path / "a", params, _LORA)
  assert [path.name for path in tmp_path.iterdir()] == ["a"]
  names = {path.name for path in (tmp_path / "a").iterdir()}
  assert names == {"adapter.safetensors", "adapter.json"}


def test_no_other_folder_is_replaced(tmp_path, params):
  (tmp_path / "mine.txt").write_text("mine")
  with pytest.raises(errors.UserError, match="is no adapter folder"):
    adapter.save(tmp_path, params, _LORA)
  assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize(
  "change", [{"rank": 4}, {"heads": 3}, {"targets": "lm"}, {"alpha": 6.0}]
)
def test_another_kind_than_configured(tmp_path, params, change):
  adapter.save(tmp_path / "a", params, _LORA)
  wanted = dataclasses.replace(_LORA, **change)
  name, value = next(iter(change.items()))
  found = getattr(_LORA, name)
  with pytest.raises(
    errors.UserError, match=re.escape(f"{name} {found!r} and not {value!r}")
  ):
    adapter.load(tmp_path / "a", _model(wanted))


def test_dropout_need_not_agree(tmp_path, params):
  adapter.save(tmp_path / "a", params, _LORA)
  adapter.load(tmp_path / "a", _model(dataclasses.replace(_LORA, dropout=0.0)))


def test_a_base_of_another_size(tmp_path, params):
  adapter.save(tmp_path / "a", params, _LORA)
  decoder = dataclasses.replace(_BARE.decoder, mlp=512)
  with pytest.raises(errors.UserError) as error:
    adapter.load(tmp_path / "a", _model(None, decoder=decoder))
  assert (
    "model/layers/mlp/down_proj/lora_A has shape [4, 384, 3], the base wants"
    " [4, 512, 3]" in str(error.value)
  )


def test_a_base_of_the_same_size_and_other_values(tmp_path, params):
  made_on = adapter.fingerprint(params)
  adapter.save(tmp_path / "a", params, _LORA, made_on)
  other = jax.tree.map(np.copy, params)
  other["model"]["layers"]["mlp"]["up_proj"]["kernel"] *= 1.5
  with pytest.raises(errors.UserError, match="trained on another base"):
    adapter.load(tmp_path / "a", _BARE, other)


def test_fingerprint_ignores_the_adapter(params):
  other = jax.tree.map(np.copy, params)
  other["model"]["layers"]["mlp"]["up_proj"]["lora_B"] *= 2
  assert adapter.fingerprint(other) == adapter.fingerprint(params)


def test_not_a_number(tmp_path, params):
  params = jax.tree.map(np.copy, params)
  params["visual"]["blocks"]["mlp"]["up_proj"]["lora_B"][1, 0, 2, 3] = np.nan
  adapter.save(tmp_path / "a", params, _LORA)
  with pytest.raises(
    errors.UserError, match="mlp/up_proj/lora_B is not finite"
  ):
    adapter.load(tmp_path / "a", _BARE)


@pytest.mark.parametrize(
  "damage", ["settings", "fields", "tensors", "no tensors", "nothing"]
)
def test_damaged_folders(tmp_path, params, damage):
  folder = tmp_path / "a"
  adapter.save(folder, params, _LORA)
  tensors, settings = folder / adapter.TENSORS, folder / adapter.SETTINGS
  if damage == "settings":
    settings.write_text("{")
  elif damage == "fields":
    settings.write_text(json.dumps({"adapter": {"rang": 3}, "base": None}))
  elif damage == "tensors":
    tensors.write_bytes(tensors.read_bytes()[:-1])
  elif damage == "no tensors":
    tensors.unlink()
  else:
    folder = tmp_path / "b"
  culprit = "adapter.safetensors" if "tensors" in damage else "adapter.json"
  with pytest.raises(errors.UserError, match=culprit):
    adapter.load(folder, _BARE)


def test_summary_shows_a_dead_tower(params):
  table = adapter.summary(params, _LORA)
  assert "dead" not in table
  params = jax.tree.map(np.copy, params)
  for leaf in params["audio_tower"]["layers"]["self_attn"].values():
    if "lora_B" in leaf:
      leaf["lora_B"][:] = 0
  params["model"]["layers"]["mlp"]["up_proj"]["lora_B"][0, 0, 0, 0] = -9.5
  rows = {
    line.split()[0]: line.split()[1:]
    for line in adapter.summary(params, _LORA).splitlines()
  }
  # layers, tensors (router, A and two B), parameters, max |B|
  assert rows["audio_tower"][:4] == ["3", "12", "2,112", "0"]
  assert "dead:" in rows["audio_tower"][4] + rows["audio_tower"][5]
  assert rows["model"][0:2] == ["28", "112"]
  assert rows["model"][3] == "9.5"
