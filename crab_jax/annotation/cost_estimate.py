"""What a teacher would cost: tokens and price by task, without asking."""

import collections
import math
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from crab_jax.annotation import expansion
from crab_jax.annotation import items
from crab_jax.annotation import teachers
from crab_jax.annotation import work as work_lib
from crab_jax.annotation.teaching import asking
from crab_jax.annotation.teaching import prompts as prompts_lib
from crab_jax.annotation.teaching import sending
from crab_jax.annotation.teaching import spending


def estimate(work: work_lib.Work) -> dict[str, dict[str, float]]:
  """What a teacher would cost at the first try, by task; asks nothing."""
  way = work.transport
  tariff = spending.tariff(way)
  found: dict[str, dict[str, float]] = {}
  written = {item.id for item in work.written()}
  for item in work.every:
    frames, seconds = _senses(item, work)
    text = _text_tokens(item, work, tariff)
    media = tariff.tokens_in(frames, seconds, 0) - tariff.text + text
    requests = _requests(work, media, text) * (item.id in written)
    if work.settings.weak == "teacher" and "weak" in item.marks:
      requests = [*requests, media]
    if not requests:
      continue
    tokens_in, tokens_out = sum(requests), len(requests) * tariff.reply
    sums = found.setdefault(
      item.task, {"rows": 0, "tokens_in": 0, "tokens_out": 0, "cost": 0.0}
    )
    sums["rows"] += 1
    sums["tokens_in"] += tokens_in
    sums["tokens_out"] += tokens_out
    sums["cost"] += tariff.cost(tokens_in, tokens_out)
  return found


def tell(
  work: work_lib.Work,
  outcomes: Sequence[expansion.Outcome],
  show: Callable[[str], object],
) -> dict[str, Any]:
  """Shows what a teacher would cost, and what would not be built.

  Returns:
    The same: "dry_run" by task, "all" as sums.
  """
  found = estimate(work)
  totals = {
    key: sum(sums[key] for sums in found.values())
    for key in ("rows", "tokens_in", "tokens_out", "cost")
  }
  for name, sums in found.items():
    show(f"{name}: {_in_words(sums)}")
  show(
    f"all: {_in_words(totals)}; each text that is asked for again comes on top"
  )
  counted = collections.Counter((o.task, o.status) for o in outcomes)
  for (task, status), count in sorted(counted.items()):
    show(f"not built: {count} of {task}, {status}")
  return {"dry_run": found, "all": totals}


def _in_words(sums: dict[str, float]) -> str:
  return (
    f"{sums['rows']:.0f} rows, {sums['tokens_in']:.0f} tokens in,"
    f" {sums['tokens_out']:.0f} out, cost {sums['cost']:.4f}"
  )


def _text_tokens(
  item: items.Item, work: work_lib.Work, tariff: spending.Tariff
) -> int:
  """Tokens of the instructions: exactly with a tokenizer, else as expected."""
  if work.count is None or work.teaching is None:
    return tariff.text
  messages = prompts_lib.request(
    item, work.table[item.task], teachers.open_prompts(work.teaching), media=[],
    language=work.teaching.language,
  )  # fmt: skip
  return work.count(asking.text(messages))


def _requests(work: work_lib.Work, media: int, text: int) -> list[int]:
  """Tokens of the requests for one text.

  Args:
    work: who writes; where nobody is named, a teacher would.
    media: tokens of a request with frames and sound.
    text: tokens of one without.
  """
  if work.teaching is None:
    return [media]
  if work.settings.writer != "teacher":
    return []
  return [media] + [text] * (work.teaching.passes - 1)


def _senses(item: items.Item, work: work_lib.Work) -> tuple[int, float]:
  """Frames, and about how many seconds of sound, a row is sent with."""
  task, teaching = work.table[item.task], work.teaching
  videos = sum(not key.startswith("audio") for key in task.media)
  sounds = sum(key.startswith("audio") for key in task.media)
  length = item.length or 10.0
  share = {
    "sixtieths": 1 / 3,
    "one_fifth": 1 / 5,
    "one_tenth": 1 / 10,
  }.get(task.window, 1.0)
  seconds = 4.0 if task.window == "four_seconds" else share * length
  frames = videos * task.frames
  if teaching and teaching.send == "video" and sending.takes_video(task):
    frames = math.ceil(length)  # a video counts by its seconds
  return frames, sounds * seconds
