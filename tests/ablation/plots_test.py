"""Pictures of a study: they render, and show what they were given."""

import io

import numpy as np
from PIL import Image

from crab_jax import plotting
from crab_jax.ablation import plots

_NAMES, _FAMILIES = ["ks", "meld"], ["action", "emotion"]


def _renders(drawn):
  picture = Image.open(io.BytesIO(plotting.png(drawn, dpi=50)))
  return picture.format == "PNG" and min(picture.size) > 50


def test_gains_are_bars_of_the_mean_with_a_dot_a_seed():
  values = {
    "lora": np.array([[0.2, -0.4], [0.0, -0.2]]),
    "ilora_e2": np.array([[0.1, 0.3], [0.1, 0.1]]),
  }
  drawn = plots.gains(values, _NAMES, _FAMILIES, "gain")
  first, second = drawn.axes
  np.testing.assert_allclose(
    [b.get_width() for b in first.patches], [0.1, -0.3]
  )
  assert len({b.get_facecolor() for b in first.patches}) == 2
  assert len({b.get_facecolor() for b in second.patches}) == 1
  assert first.get_title() == "lora\n1 of 2 gain"
  assert second.get_title() == "ilora_e2\n2 of 2 gain"
  dots = [line for line in first.lines if line.get_marker() == "."]
  assert [list(dot.get_xdata()) for dot in dots] == [[0.2, -0.4], [0.0, -0.2]]
  assert [text.get_text() for text in second.texts] == _FAMILIES
  assert _renders(drawn)


def test_shares_are_points_in_their_intervals():
  rows = {
    "score": {
      "reasoning": [(0.5, 0.25, 1.0), (1.0, 1.0, 1.0)],
      "answer": [(0.0, 0.0, 0.25), (0.5, 0.5, 0.5)],
    },
    "loss": {"reasoning": [(0.5, 0.5, 0.5), (0.75, 0.5, 1.0)]},
  }
  drawn = plots.shares(rows, ["lora", "ilora_e2"])
  points = [line for line in drawn.axes[0].lines if line.get_marker() == "o"]
  assert [list(p.get_xdata()) for p in points] == [[0.5, 1.0], [0.0, 0.5]]
  bars = drawn.axes[0].collections[0].get_segments()
  assert [bar[:, 0].tolist() for bar in bars] == [[0.25, 1.0], [1.0, 1.0]]
  legend = [text.get_text() for text in drawn.legends[0].get_texts()]
  assert legend == ["targets: reasoning", "targets: answer"]
  assert _renders(drawn)


def test_a_table_is_coloured_against_its_first_column():
  values = np.array([[0.5, 0.7], [np.nan, 0.2]])
  drawn = plots.table(values, _NAMES, ["alone", "lora"], True, "scores")
  away = drawn.axes[0].images[0].get_array()
  np.testing.assert_allclose(away[0], [0, 0.2])
  shown = [text.get_text() for text in drawn.axes[0].texts]
  assert shown == ["0.50", "0.70", "0.20"]
  assert _renders(drawn)


def test_a_table_of_gains_has_signs():
  values = np.array([[np.nan, 0.1]])
  drawn = plots.table(values, ["ks"], ["a", "b"], False, "gains")
  assert [text.get_text() for text in drawn.axes[0].texts] == ["+0.10"]
  assert drawn.get_supxlabel() == "gains"


def test_dumbbells_go_from_before_to_after():
  drawn = plots.dumbbells(
    np.array([0.2, 0.5]), np.array([0.4, 0.3]), _NAMES, ("bare", "full"), "x"
  )
  axes = drawn.axes[0]
  segments = [
    part[:, 0].tolist() for part in axes.collections[0].get_segments()
  ]
  assert segments == [[0.2, 0.4], [0.5, 0.3]]
  assert len(np.unique(axes.collections[0].get_colors(), axis=0)) == 2
  assert _renders(drawn)


def test_a_scatter_names_its_points():
  drawn = plots.scatter(
    np.array([0.1, 0.9]), np.array([1.0, -1.0]), _NAMES, ("x", "y"), "title"
  )
  axes = drawn.axes[0]
  assert [text.get_text() for text in axes.texts] == _NAMES
  np.testing.assert_allclose(
    axes.collections[0].get_offsets(), [[0.1, 1.0], [0.9, -1.0]]
  )
  assert _renders(drawn)
