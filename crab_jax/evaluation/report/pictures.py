"""Pictures and sound of one record, for people: contact sheets, boxes, mp3.

Colours: green is true, magenta is answered.
"""

import io

import numpy as np
from PIL import Image
from PIL import ImageChops
from PIL import ImageDraw
from PIL import ImageFilter

from crab_jax import configs
from crab_jax.evaluation.scoring import masks
from crab_jax.sound_files import soundfile

TRUE = (22, 163, 74)
SAID = (219, 39, 119)
_TINT = 35  # per cent of the colour inside an answered mask
_LINE = 3  # width of the line around a box, pixels
_GAP = 4  # pixels between frames of a contact sheet
_BAR = 24  # height of a line of a timeline, pixels


def image(data: bytes) -> Image.Image:
  """The RGB image of an encoded frame."""
  return Image.open(io.BytesIO(data)).convert("RGB")


def contact_sheet(
  frames: list[bytes], clips: int = 1, size: int = 160
) -> Image.Image:
  """A few frames beside each other, evenly spaced in time, in two rows.

  Args:
    frames: encoded frames in feeding order.
    clips: videos that the frames come from, equally many each. Two have a
      row each, of three frames; one has six frames, or all of four.
    size: pixels of a frame.
  """
  rows = []
  for clip in np.array_split(np.arange(len(frames)), clips):
    wanted = min(3 if clips > 1 else 6, len(clip))
    chosen = clip[np.linspace(0, len(clip) - 1, wanted).round().astype(int)]
    rows += np.array_split(chosen, 1 if clips > 1 else 2)
  width = max(len(row) for row in rows) * (size + _GAP) - _GAP
  sheet = Image.new("RGB", (width, len(rows) * (size + _GAP) - _GAP), "white")
  for row, chosen in enumerate(rows):
    for column, i in enumerate(chosen):
      frame = image(frames[i]).resize((size, size))
      sheet.paste(frame, (column * (size + _GAP), row * (size + _GAP)))
  return sheet


def grounding(
  frame: bytes,
  truth: np.ndarray | None = None,
  true_box=None,
  said_box=None,
  points=(),
  size: int = 336,
  said: np.ndarray | None = None,
) -> Image.Image:
  """A frame with the true mask or box and what was answered.

  Args:
    frame: an encoded image.
    truth: bool[224, 224] or None; its outline is drawn.
    true_box, said_box: (x1, y1, x2, y2) in the 224 frame, or None. The line
      of the true one lies outside of it, that of the answered one inside, so
      both are seen where they are equal.
    points: answered (x, y).
    size: pixels of the result.
    said: bool[224, 224] or None; the answered mask is tinted and outlined.
  """
  drawn = image(frame).resize((size, size))
  if said is not None:
    drawn.paste(
      SAID, mask=_inside(said, size).point(lambda x: x * _TINT // 100)
    )
    drawn.paste(SAID, mask=_outline(said, size))
  if truth is not None:
    drawn.paste(TRUE, mask=_outline(truth, size))
  pen = ImageDraw.Draw(drawn)
  _frame(pen, true_box, TRUE, size, outside=True)
  _frame(pen, said_box, SAID, size, outside=False)
  scale = size / configs.COORDINATE_SIZE
  for x, y in points:
    # A coordinate is a pixel's number: its middle is half a pixel on.
    x, y = (x + 0.5) * scale, (y + 0.5) * scale
    pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=SAID, outline="white")
  return drawn


def _inside(region: np.ndarray, size: int) -> Image.Image:
  """A mask as a mask image."""
  mask = Image.fromarray((region * 255).astype(np.uint8))
  # NEAREST: any other filter makes values between inside and outside.
  return mask.resize((size, size), Image.Resampling.NEAREST)


def _outline(region: np.ndarray, size: int) -> Image.Image:
  """The rim of a mask, about three pixels wide, as a mask image."""
  mask = _inside(region, size)
  inner = mask.filter(ImageFilter.MinFilter(7))
  return ImageChops.subtract(mask, inner)


def _frame(pen, box, colour, size: int, outside: bool) -> None:
  """A line along the border of a box, on one side of it; nothing for None.

  A thin white line beyond it keeps it in sight on any ground.
  """
  if box is None:
    return
  scale = size / configs.COORDINATE_SIZE
  x1, y1 = (round(value * scale) for value in box[:2])
  x2, y2 = (round((value + 1) * scale) - 1 for value in box[2:])
  lines = ((_LINE, colour, _LINE), (_LINE + 1, "white", 1))
  if not outside:
    lines = ((0, colour, _LINE), (-_LINE, "white", 1))
  for grown, ink, width in lines:
    corners = (x1 - grown, y1 - grown, x2 + grown, y2 + grown)
    if corners[0] <= corners[2] and corners[1] <= corners[3]:
      pen.rectangle(corners, outline=ink, width=width)


def timeline(
  frames: list[bytes], events, seconds: float, size: int = 96
) -> Image.Image:
  """All frames of a clip in a row, and under them a bar for every event.

  Args:
    frames: encoded frames, evenly spread over the clip.
    events: of `intervals.Event`.
    seconds: what the width of the row is.
    size: pixels of a frame.
  """
  lines = sorted({(event.label, event.modality) for event in events})
  width = len(frames) * size
  picture = Image.new("RGB", (width, size + _BAR * (len(lines) + 1)), "white")
  for number, frame in enumerate(frames):
    picture.paste(image(frame).resize((size, size)), (number * size, 0))
  pen = ImageDraw.Draw(picture)
  for number, line in enumerate(lines):
    top = size + _BAR * number
    for event in events:
      if (event.label, event.modality) == line:
        start, end = (
          round(min(time, seconds) / seconds * width)
          for time in (event.start, event.end)
        )
        pen.rectangle((start, top + 3, max(end, start), top + _BAR - 3), SAID)
    name = line[0] if line[1] == "both" else f"{line[0]} ({line[1]})"
    box = pen.textbbox((4, top + 6), name)
    pen.rectangle((box[0] - 2, box[1] - 1, box[2] + 2, box[3] + 1), "white")
    pen.text((4, top + 6), name, fill="black")
  top = size + _BAR * len(lines)
  for number in range(len(frames)):
    time = f"{number * seconds / len(frames):g} s"
    pen.text((number * size + 2, top + 6), time, fill="black")
  return picture


def jpeg(picture: Image.Image, quality: int = 82) -> bytes:
  buffer = io.BytesIO()
  # Thin lines of colour want every pixel's own.
  picture.save(buffer, "JPEG", quality=quality, subsampling=0)
  return buffer.getvalue()


def mp3(flac: bytes) -> bytes:
  """A record's sound, small enough to lie inside an HTML page."""
  samples, rate = soundfile.read(io.BytesIO(flac), dtype="float32")
  buffer = io.BytesIO()
  soundfile.write(buffer, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
  return buffer.getvalue()


def true_mask(record) -> np.ndarray | None:
  """The true mask of a record, or None."""
  return masks.from_png(record.mask) if record.mask else None
