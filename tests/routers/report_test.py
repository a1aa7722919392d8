"""What is said of the routers, from sums worked out by hand."""

import numpy as np
import pytest

from crab_jax.array_types import TokenKind
from crab_jax.data import tasks
from crab_jax.routers import report as router_report
from crab_jax.routers import routing
from crab_jax.routers import statistics as router_statistics
from crab_jax.routers import sums as router_sums

_KS, _MELD = (tasks.Tasks().number(name) for name in ("ks", "meld"))
_GROUPS = len(tasks.Tasks()) + len(TokenKind)
_PATH = "model/layers/self_attn/q_proj"


@pytest.fixture
def found():
  """Two layers; "ks" goes to the first head alone, "meld" to both alike."""
  columns = router_sums.Columns(2)
  sums = np.zeros((2, _GROUPS, columns.width))
  sums[:, _KS, :6] = [4, 0, 4, 0, 0, 0]  # gates, wins, entropy, its square
  sums[:, _MELD, :6] = [3, 3, 6, 0, 6, 6]
  sums[:, _KS, columns.largest.stop - 1] = 4  # all at the top
  sums[:, _MELD, columns.largest.start] = 6
  text = len(tasks.Tasks()) + TokenKind.TEXT
  sums[:, text] = sums[:, _KS] + sums[:, _MELD]
  tokens = sums[0, :, :2].sum(-1)
  return routing.Found(
    router_statistics.Statistics({_PATH: sums}, tokens),
    np.array([[1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], [0.4, 0.6, 0.5, 0.5]]),
    ["ks", "meld", "meld"],
    2,
    tasks.Tasks(),
  )


@pytest.fixture
def params():
  b = np.random.default_rng(0).standard_normal((2, 2, 3, 4))
  a = np.random.default_rng(1).standard_normal((2, 4, 3))
  layer = {"lora_A": a, "lora_B": b, "kernel": np.zeros((2, 4, 4))}
  return {"model": {"layers": {"self_attn": {"q_proj": layer}}}}


def test_the_numbers(found, params):
  content = router_report.to_json(found, params)
  assert content["samples"] == 3
  assert content["distances"]["datasets"] == ["ks", "meld"]
  gates = content["gates"][_PATH][0]
  assert gates[_KS] == [1, 0]
  assert gates[_MELD] == [0.5, 0.5]
  assert gates[tasks.Tasks().number("ave")] == [None, None]
  tower = content["towers"]["language model"]
  assert tower["entropy"] == pytest.approx(6 / 10)
  assert tower["largest_05"] < 0.6 < 0.95 < tower["largest_95"]
  assert content["dead_towers"] == []
  assert content["wins"][_PATH][1][_KS] == [1, 0]
  assert np.shape(content["updates"][_PATH]) == (2, 2)
  assert content["weights"]["language model"]["update"] > 0
  away = content["distances"]["values"]
  # Jensen-Shannon of (1, 0) and (1/2, 1/2): 0.3113 bits, its root.
  assert away[0][1] == pytest.approx(0.3113**0.5, abs=1e-3)
  # Of two datasets of two families there is one pair across.
  assert content["distances"]["within_families"] is None
  assert content["distances"]["across_families"] == away[0][1]


def test_what_is_written_names_its_pictures(found, params, tmp_path):
  path = router_report.write(tmp_path / "out", found, params)
  text = path.read_text()
  pictures = {p.stem for p in (tmp_path / "out" / "router").iterdir()}
  assert pictures == {
    "datasets_language_model",
    "kinds_language_model",
    "entropy_language_model",
    "heads",
    "distances",
    "samples",
  }
  for name in pictures:
    assert f"(router/{name}.png)" in text
  assert "3 samples, 2 heads" in text
  assert "Mean distance of datasets across families: 0.558." in text
  assert "Towers whose heads are all zeros: none." in text


def test_an_embedding_has_the_directions_of_most_variance():
  points = np.array([[3.0, 0, 0], [-3, 0, 0], [0, 1, 0], [0, -1, 0]])
  placed, shares = router_report.embed(points)
  np.testing.assert_allclose(np.abs(placed[:, 0]), [3, 3, 0, 0], atol=1e-9)
  np.testing.assert_allclose(shares, [0.9, 0.1])


@pytest.mark.parametrize("count", [1, 3])
def test_samples_that_are_all_alike_stand_at_the_centre(count):
  placed, shares = router_report.embed(np.ones((count, 4)))
  np.testing.assert_allclose(placed, 0, atol=1e-9)
  np.testing.assert_array_equal(shares, 0)
