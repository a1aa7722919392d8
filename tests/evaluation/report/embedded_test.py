"""Plots inside the page have their size in inches."""

import base64

from crab_jax import plotting
from crab_jax.evaluation.report import embedded


def test_a_plot_has_the_width_of_its_figure():
  figure, _ = plotting.axes_of(5.0, 3.0)
  png = plotting.png(figure)
  plot = embedded.plot(png, "a & b")
  assert abs(plot.width - 5 * 96) < 60  # cut to what is drawn
  assert not plot.wide and plot.alt == "a & b"
  head, data = plot.url.split(",")
  assert head == "data:image/png;base64"
  assert base64.b64decode(data) == png
  figure, _ = plotting.axes_of(9.0, 3.0)
  assert embedded.plot(plotting.png(figure), "").wide
