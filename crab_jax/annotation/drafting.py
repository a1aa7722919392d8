"""The reasoning of all rows: by templates, by a teacher, or none.

A teacher's rows are written by several threads; the result is in the order of
the rows and does not depend on which came first.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import tqdm

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import display_names
from crab_jax.annotation import items
from crab_jax.annotation import licences
from crab_jax.annotation import provenance
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import truths
from crab_jax.annotation import writer_template
from crab_jax.annotation.checking import checks
from crab_jax.annotation.checking import token_counts
from crab_jax.annotation.teaching import asking
from crab_jax.annotation.teaching import batches
from crab_jax.annotation.teaching import cache as cache_lib
from crab_jax.annotation.teaching import client as client_lib
from crab_jax.annotation.teaching import examples as examples_lib
from crab_jax.annotation.teaching import prompts as prompts_lib
from crab_jax.annotation.teaching import sending
from crab_jax.annotation.teaching import spending
from crab_jax.annotation.teaching import teacher as teacher_lib
from crab_jax.annotation.teaching import times_proposed
from crab_jax.data import tasks
from crab_jax.evaluation.reading import intervals

CACHE = "cache"
LEDGER = "spending.jsonl"
BATCHES = "batches"

Drafts = dict[str, provenance.Draft]


@dataclasses.dataclass(frozen=True)
class Refused:
  """Why a row got no times; `status` counts it."""

  status: str
  reason: str


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


def write(
  work: Work,
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
    drafts |= _all(open_teacher(work, answered).write, wanted, workers=1)
  else:
    with _asked(work, show) as teacher:
      drafts |= _all(teacher.write, wanted, work.transport.workers)
  return _with_sameness(drafts, wanted)


def _without_text(item: items.Item, work: Work) -> provenance.Draft:
  kind = work.table[item.task].kind
  return provenance.Draft("", "label" if kind == "caption" else "none")


def _by_templates(wanted: Sequence[items.Item], work: Work) -> Drafts:
  plans = work.plans
  return {
    item.id: provenance.Draft(
      writer_template.write(item, work.table[item.task], plans), "template"
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


def open_teacher(
  work: Work, asker: asking.Asker, judge: asking.Asker | None = None
) -> teacher_lib.Teacher:
  """A teacher that asks by `asker`."""
  teaching = work.teaching
  assert teaching is not None
  return teacher_lib.Teacher(
    asker,
    judge,
    teaching,
    open_prompts(teaching),
    work.plans,
    work.table,
    work.vocabulary,
    work.media,
    work.out,
    work.settings.media_as,
    work.examples,
    work.count or token_counts.about,
  )


def open_prompts(teaching: settings_lib.Teaching) -> prompts_lib.Prompts:
  """The texts that a teacher is asked with."""
  path = teaching.prompts
  return prompts_lib.load(files.path(path) if path else None)


def is_remote(teaching: settings_lib.Teaching | None) -> bool:
  """Whether clips go to another machine."""
  if teaching is None:
    return False
  name = licences.host(teaching.url)
  return not licences.is_local(name, teaching.local_hosts)


def check_terms(work: Work) -> None:
  """Raises UserError where the terms of a set forbid the teacher."""
  teaching = work.teaching
  assert teaching is not None
  names = {item.task for item in work.every}
  names |= {item.row.source for item in work.every}
  for url in filter(None, (teaching.url, teaching.judge)):
    licences.require_allowed(
      names, url, teaching.local_hosts, teaching.allow_remote
    )


def ledger(work: Work) -> spending.Ledger:
  """What was spent on a folder.

  Raises:
    UserError: there is a budget and no price.
  """
  way = work.transport
  if way.budget is not None and not (way.price_in or way.price_out):
    raise errors.UserError(
      "--budget needs --price_in and --price_out, of a million tokens"
    )
  tariff = spending.Tariff(way.price_in, way.price_out)
  return spending.Ledger(work.state / LEDGER, tariff, way.budget)


@contextlib.contextmanager
def _asked(
  work: Work, show: Callable[[str], object]
) -> Iterator[teacher_lib.Teacher]:
  """A teacher that asks its endpoint, which sees and hears.

  Raises:
    UserError: it cannot be used.
  """
  teaching, way = work.teaching, work.transport
  assert teaching is not None
  check_terms(work)
  cache = cache_lib.Cache(work.state / CACHE)
  spent = ledger(work)
  client = _client(teaching.url, teaching.model, way)
  judged = None
  clients = [client]
  if teaching.judge:
    model = teaching.judge_model or teaching.model
    clients.append(_client(teaching.judge, model, way))
    judged = asking.Live(clients[-1], cache, spent)
  teacher = open_teacher(work, asking.Live(client, cache, spent), judged)
  show(
    f"clips go to {licences.host(teaching.url)}; its terms for what a model"
    " writes are its own"
  )
  try:
    teacher.probe()
    yield teacher
  finally:
    for one in clients:
      one.close()
    tokens_in, tokens_out = spent.tokens
    show(
      f"teacher: {tokens_in} tokens in, {tokens_out} out, cost"
      f" {spent.spent:.4f}, of all runs on this folder"
    )


def _client(
  url: str, model: str, way: settings_lib.Transport
) -> client_lib.Client:
  return client_lib.Client(
    client_lib.Endpoint(
      url,
      model,
      way.key,
      way.timeout,
      per_minute=way.per_minute,
      tokens_per_minute=way.tokens_per_minute,
    )
  )


def _all(
  make: Callable[[items.Item], Any],
  wanted: Sequence[items.Item],
  workers: int,
) -> dict[str, Any]:
  """What is made of rows, by several threads; the first error ends all."""
  drafts = {}
  with (
    concurrent.futures.ThreadPoolExecutor(workers) as pool,
    tqdm.tqdm(
      total=len(wanted), desc="annotate", unit="row", disable=None
    ) as bar,
  ):
    futures = {pool.submit(make, item): item.id for item in wanted}
    try:
      for future in concurrent.futures.as_completed(futures):
        drafts[futures[future]] = future.result()
        bar.update()
    except BaseException:
      # What is under way is finished, and kept in the cache.
      pool.shutdown(wait=True, cancel_futures=True)
      raise
  return drafts


def propose(
  work: Work,
  show: Callable[[str], object],
  answered: batches.Writer | None = None,
) -> dict[str, tuple[intervals.Event, ...] | Refused]:
  """Times that a teacher proposes for each row, by its id.

  Args:
    work: the rows, whose events last as long as their clips.
    show: takes what is to be told.
    answered: takes what is to be asked: rows that wait are left out; None: the
      teacher is asked.

  Raises:
    UserError: the teacher cannot be used, or the budget is used up.
  """
  if not work.every:
    return {}
  if answered is None:
    with _asked(work, show) as teacher:
      return _all(
        lambda item: _times(teacher, item), work.every, work.transport.workers
      )
  check_terms(work)
  found, teacher = {}, open_teacher(work, answered)
  for item in work.every:
    with contextlib.suppress(batches.Needed):
      found[item.id] = _times(teacher, item)
  return found


def _times(
  teacher: teacher_lib.Teacher, item: items.Item
) -> tuple[intervals.Event, ...] | Refused:
  try:
    return times_proposed.propose(teacher, item)
  except times_proposed.NoTimes as error:
    return Refused("no_times", f"the teacher proposed none to use: {error}")
  except truths.Unbuildable as error:
    return Refused(error.status, error.reason)
  except client_lib.Rejected as error:
    return Refused("rejected", str(error))
  except client_lib.Unanswered as error:
    raise teacher.unanswered(item, error) from error


def open_batch(work: Work) -> batches.Writer:
  """Collects what is to be asked into batch files."""
  assert work.teaching is not None
  cache = cache_lib.Cache(work.state / CACHE)
  return batches.Writer(work.state / BATCHES, work.teaching.model, cache)


def write_batch(work: Work, writer: batches.Writer) -> None:
  """Collects the next requests of all rows, and writes the files."""
  check_terms(work)
  teacher = open_teacher(work, writer)
  for item in work.written() if work.settings.writer == "teacher" else ():
    with contextlib.suppress(batches.Needed):
      teacher.write(item)
  writer.finish()


def estimate(work: Work) -> dict[str, dict[str, float]]:
  """What a teacher would cost at the first try, by task; asks nothing."""
  way = work.transport
  tariff = spending.Tariff(way.price_in, way.price_out)
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


def _text_tokens(item: items.Item, work: Work, tariff: spending.Tariff) -> int:
  """Tokens of the instructions: exactly with a tokenizer, else as expected."""
  if work.count is None or work.teaching is None:
    return tariff.text
  messages = prompts_lib.request(
    item, work.table[item.task], open_prompts(work.teaching), media=[],
    language=work.teaching.language,
  )  # fmt: skip
  return work.count(asking.text(messages))


def _requests(work: Work, media: int, text: int) -> list[int]:
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


def _senses(item: items.Item, work: Work) -> tuple[int, float]:
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
