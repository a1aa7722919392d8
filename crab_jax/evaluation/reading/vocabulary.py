"""The labels that a task's answers may have, as far as anyone tells.

They decide whether an answer without tags is a label or a remark: a "two" is,
"I hear nothing" is not.
"""

from collections.abc import Callable
from collections.abc import Iterable

from crab_jax.data import tasks
from crab_jax.evaluation.reading import choices
from crab_jax.evaluation.reading import labels

Known = Callable[[str], bool]

# Metrics that compare by the synonyms of answers to questions.
_OF_QUESTIONS = ("question_accuracy", "choice_accuracy")


def of_references(task: tasks.Task, references: Iterable[str]) -> Known:
  """Whether a text is a class of the task, or the label of a reference.

  Args:
    task: its classes and synonyms count.
    references: the true labels of all rows.
  """
  group = "qa" if task.metric in _OF_QUESTIONS else task.synonyms
  known = {labels.canonical(name, group) for name in task.classes}
  known |= {labels.canonical(label, group) for label in references}
  known |= set(labels.synonyms(group).values())
  return lambda text: labels.canonical(text, group) in known


def of_options(options: tuple[str, ...]) -> Known:
  """Whether a text is one of a question's options."""
  return lambda text: choices.option(text, options)[0] is not None
