"""Plots: they render, and show what they were given."""

import io

import numpy as np
from PIL import Image

from crab_jax import plotting
from crab_jax.evaluation.report import plots

SCORES = (["a2v", "ks"], np.array([0.7, 0.4]), np.array([0.5, 0.1]))


def _size(drawn):
  image = Image.open(io.BytesIO(plotting.png(drawn, dpi=50)))
  assert image.format == "PNG"
  return image.size


def test_score_against_chance():
  anchors = {"Crab+": [0.9, None], "Crab": [None, None]}
  drawn = plots.score_against_chance(*SCORES, ["matching", "action"], anchors)
  axes = drawn.axes[0]
  heights = [patch.get_height() for patch in axes.patches]
  assert heights == [0.7, 0.4]
  colours = {patch.get_facecolor() for patch in axes.patches}
  assert len(colours) == 2  # one a family
  names = [text.get_text() for text in axes.get_legend().get_texts()]
  assert names == ["Crab+", "chance (best blind guess)"]
  assert min(_size(drawn)) > 100


def test_the_base_alone_is_a_bar_before_that_of_the_score():
  alone = [0.3, None]
  families = ["matching", "action"]
  drawn = plots.score_against_chance(*SCORES, families, base_alone=alone)
  heights = [patch.get_height() for patch in drawn.axes[0].patches]
  assert heights == [0.7, 0.4, 0.3]
  names = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
  assert "base alone, without its adapter" in names


def test_loss_by_stage_has_a_panel_a_stage():
  steps = np.arange(50)
  curves = {"backbone": (steps, 5 - steps / 20), "tune": (steps, steps * 0 + 1)}
  drawn = plots.loss_by_stage(curves)
  titles = [axes.get_title() for axes in drawn.axes]
  assert titles == ["backbone: 5.00 → 2.55", "tune: 1.00 → 1.00"]
  raw, smooth = (line.get_ydata() for line in drawn.axes[1].lines)
  np.testing.assert_allclose(smooth, raw)
  assert min(_size(drawn)) > 100


def test_confusion_has_a_column_for_other_answers():
  drawn = plots.confusion(["dog", "cat"], [[3, 1, 0], [0, 0, 2]])
  shares = drawn.axes[0].images[0].get_array()
  np.testing.assert_allclose(shares, [[0.75, 0.25, 0], [0, 0, 1]])
  ticks = [tick.get_text() for tick in drawn.axes[0].get_xticklabels()]
  assert ticks == ["dog", "cat", "other"]
  many = [str(i) for i in range(40)]
  assert min(_size(plots.confusion(many, np.ones((40, 41), int)))) > 200
