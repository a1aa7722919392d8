"""What a check must find and what it must not: rows, and lists of sentences."""

from crab_jax.annotation import items
from crab_jax.annotation import rows
from crab_jax.annotation import truths
from crab_jax.annotation.checking import checks
from crab_jax.annotation.checking import findings
from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import intervals

TABLE = tasks.Tasks()
# Makes a sentence a text of twelve words.
TAIL = " The frames and the sound of the clip are in step with it over the whole time."


def context(
  task, answer, *, name="", notes=None, vocabulary=(), **row
) -> findings.Context:
  """What is known of a row of a task."""
  truth = truths.Truth(answers.Answer(TABLE[task].kind, **answer), name)
  item = items.Item("a", rows.Row("here", **row), task, truth, {}, None, 10.0)
  return findings.Context(item, TABLE[task], frozenset(vocabulary), "en", notes)


ACTION = context("ks", {"label": "playing piano"},
                   vocabulary=("playing piano", "playing drums", "singing"))  # fmt: skip
EVENTS = context(
  "avvp",
  {
    "events": (
      intervals.Event("Dog", 0.0, 4.0, "visual"),
      intervals.Event("Speech", 2.0, 9.0, "audio"),
    )
  },
  vocabulary=("Dog", "Speech", "Car", "Church bell", "Violin"),
)
LEFT = context(
  "s4",
  {"box": (5, 150, 60, 220), "points": ((30, 190),) * 3},
  name="drum",
)
EMOTION = context("meld", {"label": "anger"}, transcript="Get out of my house!")


def split(text: str) -> list[str]:
  """The sentences of a list, with "|" or a new line between them."""
  # Tags hold the sign that parts the sentences.
  text = text.replace("<|im_end|>", "<\x00im_end\x00>").replace("\n    ", "|")
  parts = [part.replace("\x00", "|") for part in text.split("|")]
  return [part.strip() for part in parts if part.strip()]


def require(code: str, known: findings.Context, good: str, bad: str, tail=TAIL):
  """At least twenty sentences pass a check, and twenty do not."""
  assert len(split(good)) >= 20
  assert len(split(bad)) >= 20
  for text, expected in ((good, False), (bad, True)):
    wrong = [
      part
      for part in split(text)
      if (code in {f.code for f in checks.run(part + tail, known)}) != expected
    ]
    assert wrong == []
