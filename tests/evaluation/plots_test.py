"""Plots: they render, and show what they were given."""

import io

import numpy as np
import pytest
from PIL import Image

from crab_jax.array_types import TokenKind
from crab_jax.evaluation import plots

SCORES = (["a2v", "ks"], np.array([0.7, 0.4]), np.array([0.5, 0.1]))


def _size(drawn):
  image = Image.open(io.BytesIO(plots.png(drawn, dpi=50)))
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


def test_loss_by_stage_has_a_panel_a_stage():
  steps = np.arange(50)
  curves = {"backbone": (steps, 5 - steps / 20), "tune": (steps, steps * 0 + 1)}
  drawn = plots.loss_by_stage(curves)
  titles = [axes.get_title() for axes in drawn.axes]
  assert titles == ["backbone: 5.00 → 2.55", "tune: 1.00 → 1.00"]
  raw, smooth = (line.get_ydata() for line in drawn.axes[1].lines)
  np.testing.assert_allclose(smooth, raw)
  assert min(_size(drawn)) > 100


@pytest.mark.parametrize("shape", [(2, 3), (4, 5, 2, 3)])
def test_router_gates_shows_the_mean_over_layers_and_modules(shape):
  gates = np.random.default_rng(0).dirichlet(np.ones(3), shape[:-1])
  drawn = plots.router_gates(gates, ["a2v", "ks"], "decoder")
  expected = gates.reshape(-1, 2, 3).mean(0)
  np.testing.assert_allclose(drawn.axes[0].images[0].get_array(), expected)
  assert min(_size(drawn)) > 50


def test_router_gates_of_an_unseen_task():
  gates = np.array([[0.5, 0.5], [np.nan, np.nan]])
  drawn = plots.router_gates(np.stack([[gates] * 2]), ["a2v", "ks"])
  shown = [text.get_text() for text in drawn.axes[0].texts]
  assert shown == ["0.50", "0.50"]
  assert min(_size(drawn)) > 50


def test_confusion_has_a_column_for_other_answers():
  drawn = plots.confusion(["dog", "cat"], [[3, 1, 0], [0, 0, 2]])
  shares = drawn.axes[0].images[0].get_array()
  np.testing.assert_allclose(shares, [[0.75, 0.25, 0], [0, 0, 1]])
  ticks = [tick.get_text() for tick in drawn.axes[0].get_xticklabels()]
  assert ticks == ["dog", "cat", "other"]
  many = [str(i) for i in range(40)]
  assert min(_size(plots.confusion(many, np.ones((40, 41), int)))) > 200


def test_timeline():
  drawn = plots.timeline([("dog", 0, 4)], [("dog", 1, 5), ("cat", 8, 9)])
  bars = [(p.get_x(), p.get_width()) for p in drawn.axes[0].patches]
  assert bars == [(0, 4), (1, 4), (8, 1)]
  assert min(_size(plots.timeline([], []))) > 20


def test_gates_along_fill_the_height_over_a_strip_of_kinds():
  gates = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
  kinds = np.array([TokenKind.TEXT, TokenKind.AUDIO, TokenKind.ANSWER], "u1")
  drawn = plots.gates_along(gates, kinds, "ave")
  axes = drawn.axes[0]
  first, second, *strips = axes.collections
  assert first.get_paths()[0].contains_point((0.5, 0.19))
  assert second.get_paths()[0].contains_point((0.5, 0.21))
  assert second.get_paths()[0].contains_point((2.5, 0.95))
  assert [s.get_label() for s in strips] == ["text", "audio", "answer"]
  assert strips[1].get_paths()[0].contains_point((1.5, -0.05))
  assert not strips[1].get_paths()[0].contains_point((0.5, -0.05))
  assert min(_size(drawn)) > 100
