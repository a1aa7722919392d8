"""Pictures and sound inside the page: a file that is read offline loads nothing."""

import base64
import dataclasses

from crab_jax import plotting

_WIDE = 600  # pixels; a wider plot is scrolled on a small screen


@dataclasses.dataclass(frozen=True)
class Plot:
  """A plot inside the page.

  Attributes:
    url: the PNG as a data URL.
    alt: what it shows, for those who do not see it.
    width: pixels on the screen, at 96 an inch.
  """

  url: str
  alt: str
  width: int

  @property
  def wide(self) -> bool:
    return self.width > _WIDE


def url(kind: str, data: bytes) -> str:
  """The data URL of bytes of a media type, "image/png"."""
  return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def plot(png: bytes, alt: str) -> Plot:
  """A PNG of `plotting.png` at its size in inches."""
  pixels = int.from_bytes(png[16:20])  # the width in the header of a PNG
  return Plot(url("image/png", png), alt, pixels * 96 // plotting.DPI)
