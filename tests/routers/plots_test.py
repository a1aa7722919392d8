"""Pictures of the routers: they render, and show what they were given."""

import io

import numpy as np
import pytest
from PIL import Image

from crab_jax import plotting
from crab_jax.array_types import TokenKind
from crab_jax.routers import plots as router_plots


def _size(drawn):
  image = Image.open(io.BytesIO(plotting.png(drawn, dpi=50)))
  assert image.format == "PNG"
  return image.size


@pytest.mark.parametrize("shape", [(2, 3), (4, 5, 2, 3)])
def test_mean_gates_shows_the_mean_over_layers_and_modules(shape):
  gates = np.random.default_rng(0).dirichlet(np.ones(3), shape[:-1])
  drawn = router_plots.mean_gates(gates, ["a2v", "ks"], "decoder")
  expected = gates.reshape(-1, 2, 3).mean(0)
  np.testing.assert_allclose(drawn.axes[0].images[0].get_array(), expected)
  assert min(_size(drawn)) > 50


def test_mean_gates_of_an_unseen_task():
  gates = np.array([[0.5, 0.5], [np.nan, np.nan]])
  drawn = router_plots.mean_gates(np.stack([[gates] * 2]), ["a2v", "ks"])
  shown = [text.get_text() for text in drawn.axes[0].texts]
  assert shown == ["0.50", "0.50"]
  assert min(_size(drawn)) > 50


def test_gate_panels_show_every_head_of_every_projection():
  gates = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 5))
  names = ["q_proj", "k_proj", "v_proj", "o_proj"]
  drawn = router_plots.gate_panels(
    gates, list("abcde"), names, ["layer 0", "layer 1"], "decoder"
  )
  for panel, axes in zip(gates, drawn.axes, strict=False):
    shown = axes.images[0].get_array()
    assert shown.shape == (5, 12)
    np.testing.assert_allclose(shown[3, 6:9], panel[2, 3])
    assert [t.get_text() for t in axes.get_xticklabels()] == names
  assert min(_size(drawn)) > 50


def test_gates_along_fill_the_height_over_a_strip_of_kinds():
  gates = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
  kinds = np.array([TokenKind.TEXT, TokenKind.AUDIO, TokenKind.ANSWER], "u1")
  drawn = router_plots.gates_along(gates, kinds, "ave")
  axes = drawn.axes[0]
  first, second, *strips = axes.collections
  assert first.get_paths()[0].contains_point((0.5, 0.19))
  assert second.get_paths()[0].contains_point((0.5, 0.21))
  assert second.get_paths()[0].contains_point((2.5, 0.95))
  assert [s.get_label() for s in strips] == ["text", "audio", "answer"]
  assert strips[1].get_paths()[0].contains_point((1.5, -0.05))
  assert not strips[1].get_paths()[0].contains_point((0.5, -0.05))
  assert min(_size(drawn)) > 100
