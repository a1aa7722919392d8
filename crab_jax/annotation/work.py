"""What there is to write, for whom, and with which sentences and words."""

import collections
import dataclasses
import functools
from collections.abc import Sequence

from crab_jax import files
from crab_jax.annotation import display_names
from crab_jax.annotation import items
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import writer_template
from crab_jax.annotation.checking import token_counts
from crab_jax.annotation.teaching import examples as examples_lib
from crab_jax.data import tasks


@dataclasses.dataclass(frozen=True)
class Work:
  """What there is to write, and for whom.

  Attributes:
    every: the rows.
    table: the tasks.
    settings: how.
    teaching: whom to ask; None: nobody.
    transport: how fast and at what price.
    media, out, state: the folders of the source, of the result, of the logs.
    examples: texts that people accepted, to be shown; None: ours.
  """

  every: Sequence[items.Item]
  table: tasks.Tasks
  settings: settings_lib.Settings
  teaching: settings_lib.Teaching | None
  transport: settings_lib.Transport
  media: files.Path
  out: files.Path
  state: files.Path
  examples: examples_lib.Examples | None = None

  @property
  def plans(self) -> writer_template.Plans:
    """The sentences of templates."""
    path = self.settings.templates
    return writer_template.load(files.path(path) if path else None)

  @functools.cached_property
  def count(self) -> token_counts.Count | None:
    """Tells the tokens of a text exactly; None: there is no tokenizer."""
    path = self.settings.tokenizer
    return token_counts.exact(files.path(path)) if path else None

  @property
  def vocabulary(self) -> dict[str, frozenset[str]]:
    """Task -> every class that its rows or its row of the table name."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for item in self.every:
      task = self.table[item.task]
      if display_names.has_labels(task):
        own = (*display_names.labels(item, task), *task.classes)
        found[item.task] |= {item.spoken(name) for name in own}
    return {name: frozenset(labels) for name, labels in found.items()}

  def written(self) -> list[items.Item]:
    """The rows that need reasoning."""
    return [item for item in self.every if self._needs_text(item)]

  def _needs_text(self, item: items.Item) -> bool:
    task = self.table[item.task]
    is_test = item.split == "test" and task.has_test
    return not is_test and task.kind != "caption"
