"""The reasoning of all rows: by templates, by a teacher, or none.

A teacher's rows are written by several threads; the result is in the order of
the rows and does not depend on which came first.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

from crab_jax.annotation import items
from crab_jax.annotation import provenance
from crab_jax.annotation import teachers
from crab_jax.annotation import work as work_lib
from crab_jax.annotation import writer_template
from crab_jax.annotation.checking import checks
from crab_jax.annotation.teaching import asking

Drafts = dict[str, provenance.Draft]


def write(
  work: work_lib.Work,
  show: Callable[[str], object],
  answered: asking.Asker | None = None,
) -> Drafts:
  """The draft of every row by its id.

  Args:
    work: what there is to write.
    show: takes what is to be told.
    answered: holds every reply, so that nobody is asked; None: the teacher is.

  Raises:
    UserError: the teacher cannot be used, or the budget is used up.
  """
  drafts = {item.id: _without_text(item, work) for item in work.every}
  wanted = work.written()
  if work.settings.writer == "bare":
    return drafts | {item.id: provenance.Draft("", "bare") for item in wanted}
  if work.settings.writer == "template":
    drafts |= _by_templates(wanted, work)
  elif answered is not None:
    drafts |= teachers.each(
      teachers.open_teacher(work, answered).write, wanted, workers=1
    )
  else:
    with teachers.asked(work, show) as teacher:
      drafts |= teachers.each(teacher.write, wanted, work.transport.workers)
  return _with_sameness(drafts, wanted)


def _without_text(item: items.Item, work: work_lib.Work) -> provenance.Draft:
  kind = work.table[item.task].kind
  return provenance.Draft("", "label" if kind == "caption" else "none")


def _by_templates(wanted: Sequence[items.Item], work: work_lib.Work) -> Drafts:
  plans = work.plans
  return {
    item.id: provenance.Draft(
      writer_template.write(item, work.table[item.task], plans),
      "template",
      {"saw": ["label"]},
    )
    for item in wanted
  }


def _with_sameness(drafts: Drafts, wanted: Sequence[items.Item]) -> Drafts:
  """The drafts with what is found of all texts of a task together."""
  groups: dict[str, dict[str, str]] = {}
  for item in wanted:
    # Templates are alike by construction: their share is in the report.
    if drafts[item.id].writer == "teacher" and not drafts[item.id].dropped:
      groups.setdefault(item.task, {})[item.id] = drafts[item.id].text
  for texts in groups.values():
    for name, finding in checks.sameness(texts).items():
      found = (*drafts[name].found, finding)
      drafts[name] = dataclasses.replace(drafts[name], found=found)
  return drafts
