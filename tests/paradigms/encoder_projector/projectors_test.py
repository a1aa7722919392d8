"""The Q-Former: values that the official class gave."""

import jax
import numpy as np
import pytest

from crab_jax import configs
from crab_jax.paradigms.encoder_projector import names
from crab_jax.paradigms.encoder_projector import projectors

_SIZES = configs.BeatsAudio(
  query_layers=2, query_width=24, query_heads=2, query_mlp=48, query_dropout=0.1
)
_LAYER = "bert.encoder.layer"


def _fill(shape, scale, step):
  count = np.arange(1, np.prod(shape) + 1, dtype=np.float64)
  return (scale * np.sin(step * count)).reshape(shape).astype(np.float32)


def _official() -> dict[str, tuple[int, ...]]:
  """Shapes of what counts of the official class, by its names."""
  shapes = {"bert.embeddings.LayerNorm.weight": (24,)}
  for i in range(2):
    for block, keys in (("attention", 24), ("crossattention", 20)):
      at = f"{_LAYER}.{i}.{block}"
      inputs = {"query": 24, "key": keys, "value": keys}
      shapes |= {f"{at}.self.{n}.weight": (24, x) for n, x in inputs.items()}
      shapes[f"{at}.output.dense.weight"] = (24, 24)
      shapes[f"{at}.output.LayerNorm.weight"] = (24,)
    at = f"{_LAYER}.{i}"
    shapes[f"{at}.intermediate_query.dense.weight"] = (48, 24)
    shapes[f"{at}.output_query.dense.weight"] = (24, 48)
    shapes[f"{at}.output_query.LayerNorm.weight"] = (24,)
  biases = {k.replace("weight", "bias"): x[:1] for k, x in shapes.items()}
  return shapes | biases


@pytest.fixture(scope="module")
def params():
  """Our name -> values, kernels transposed."""
  shapes, made = _official(), {}
  assert len(shapes) == 54
  for index, name in enumerate(sorted(shapes)):
    values = _fill(shapes[name], 0.2, 0.3 + 0.07 * index)
    if name.endswith("LayerNorm.weight"):
      values += 1
    ours = names.canonical_projector(f"vl_projector.visual_Qformer.{name}")
    made[ours.removeprefix("clip.projector.")] = values
  return made


def _layer(params, index):
  tree: dict = {}
  for name, values in params.items():
    if not name.startswith(f"layers.{index}."):
      continue
    *path, leaf = name.split(".")[2:]
    if values.ndim == 2:
      leaf, values = "kernel", values.T
    node = tree
    for key in path:
      node = node.setdefault(key, {})
    node[leaf] = values
  return {"params": tree}


def test_it_gives_the_official_numbers(params):
  queries, features = _fill((1, 5, 24), 0.5, 0.19), _fill((2, 7, 20), 0.9, 0.23)
  y = (queries - queries.mean(-1, keepdims=True)) / queries.std(
    -1, keepdims=True
  )
  y = y * params["query_norm.weight"] + params["query_norm.bias"]
  y = np.broadcast_to(y[None], (1, 2, 5, 24))
  layer = projectors.QueryLayer(configs.tiny_clip_beats(), _SIZES, True)
  run = jax.jit(lambda params, y: layer.apply(params, y, features[None], None))
  for index in range(2):
    y, _ = run(_layer(params, index), y)
  found = np.asarray(y)[0]
  first = [1.19422, 0.75102, 0.80876, 1.17646]
  last = [-0.93305, -0.81698, -0.33242, 0.28717]
  np.testing.assert_allclose(found[0, 0, :4], first, atol=2e-5)
  np.testing.assert_allclose(found[1, 4, :4], last, atol=2e-5)
  np.testing.assert_allclose(found.mean(), -0.009664, atol=2e-6)
