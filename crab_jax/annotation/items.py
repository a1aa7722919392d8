"""A row that can be built: its clip, its truth, its split."""

import dataclasses
import re
from collections.abc import Mapping

from crab_jax.annotation import facts
from crab_jax.annotation import media_files
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.evaluation.reading import intervals

_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclasses.dataclass(frozen=True)
class Item:
  """One annotation in the making.

  Attributes:
    id: unique in its source; a window of a clip adds its start.
    row: where it is from.
    task: name of it.
    truth: its answer.
    media: column -> what is known of the file; a sound that is the video's own
      has the video's.
    cut: first and last second of the file, or None: all of it.
    length: of the clip in seconds; None: it has none, or nobody tells.
    split: "train", "val" or "test"; "" until it is drawn.
    marks: what a reader should know of it, such as "points_from_box".
    names: label -> its words in a sentence; of others they follow from it.
  """

  id: str
  row: rows.Row
  task: str
  truth: truths.Truth
  media: Mapping[str, media_files.Facts]
  cut: tuple[float, float] | None = None
  length: float | None = None
  split: str = ""
  marks: tuple[str, ...] = ()
  names: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    """The id as the name of a folder."""
    return _NAME.sub("_", self.id)

  @property
  def beside(self) -> tuple[intervals.Event, ...]:
    """Events of a row that asks for something else: they help the writer."""
    asked = self.truth.answer.kind == "events"
    return () if asked else self.row.events or ()

  def spoken(self, label: str) -> str:
    """A label as sentences say it."""
    return facts.plain(self.names.get(label, label))
