"""The teacher of a piece of work: opened, paid, asked by several threads, batched."""

import concurrent.futures
import contextlib
import urllib.parse
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import tqdm

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import items
from crab_jax.annotation import licences
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import work as work_lib
from crab_jax.annotation.checking import token_counts
from crab_jax.annotation.teaching import asking
from crab_jax.annotation.teaching import batches
from crab_jax.annotation.teaching import cache as cache_lib
from crab_jax.annotation.teaching import client as client_lib
from crab_jax.annotation.teaching import prompts as prompts_lib
from crab_jax.annotation.teaching import spending
from crab_jax.annotation.teaching import teacher as teacher_lib

CACHE = "cache"
LEDGER = "spending.jsonl"
BATCHES = "batches"


def open_teacher(
  work: work_lib.Work, asker: asking.Asker, judge: asking.Asker | None = None
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
  """Whether clips go to another machine, to be written of or judged."""
  if teaching is None:
    return False
  urls = filter(None, (teaching.url, teaching.judge))
  return not all(
    licences.is_local(licences.host(url), teaching.local_hosts) for url in urls
  )


def check_terms(work: work_lib.Work) -> None:
  """Raises UserError where the terms of a set forbid the teacher."""
  teaching = work.teaching
  assert teaching is not None
  names = {item.task for item in work.every}
  names |= {item.row.source for item in work.every}
  for url in filter(None, (teaching.url, teaching.judge)):
    licences.require_allowed(
      names, url, teaching.local_hosts, teaching.allow_remote
    )


def ledger(work: work_lib.Work) -> spending.Ledger:
  """What was spent on a folder.

  Raises:
    UserError: there is a budget and no price.
  """
  way = work.transport
  if way.budget is not None and not (way.price_in or way.price_out):
    raise errors.UserError(
      "--budget needs --price_in and --price_out, of a million tokens"
    )
  return spending.Ledger(work.state / LEDGER, spending.tariff(way), way.budget)


@contextlib.contextmanager
def asked(
  work: work_lib.Work, show: Callable[[str], object]
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
  client = _client(teaching.url, teaching.model, way, way.key)
  texts = open_prompts(teaching).texts
  judged = None
  clients = [client]
  if teaching.judge:
    model = teaching.judge_model or teaching.model
    key = way.judge_key or _shared_key(teaching, way)
    clients.append(_client(teaching.judge, model, way, key))
    judged = asking.Live(clients[-1], cache, spent, texts)
  teacher = open_teacher(work, asking.Live(client, cache, spent, texts), judged)
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


def _shared_key(
  teaching: settings_lib.Teaching, way: settings_lib.Transport
) -> str | None:
  """The teacher's key, if the judge is at the same endpoint.

  Nobody else is to see it.
  """
  places = [
    urllib.parse.urlsplit(url)[:2] for url in (teaching.url, teaching.judge)
  ]
  return way.key if places[0] == places[1] else None


def _client(
  url: str, model: str, way: settings_lib.Transport, key: str | None
) -> client_lib.Client:
  return client_lib.Client(
    client_lib.Endpoint(
      url,
      model,
      key,
      way.timeout,
      per_minute=way.per_minute,
      tokens_per_minute=way.tokens_per_minute,
    )
  )


def each(
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


def open_batch(work: work_lib.Work) -> batches.Writer:
  """Collects what is to be asked into batch files."""
  assert work.teaching is not None
  cache = cache_lib.Cache(work.state / CACHE)
  return batches.Writer(work.state / BATCHES, work.teaching.model, cache)


def write_batch(work: work_lib.Work, writer: batches.Writer) -> None:
  """Collects the next requests of all rows, and writes the files."""
  check_terms(work)
  teacher = open_teacher(work, writer)
  for item in work.written() if work.settings.writer == "teacher" else ():
    with contextlib.suppress(batches.Needed):
      teacher.write(item)
  writer.finish()
