"""The reasoning of a row by a teacher: asked, checked, asked again.

What it gives depends on the row and the replies alone, not on the order of the
rows nor on what was in the cache.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from crab_jax import errors
from crab_jax import files
from crab_jax.annotation import build
from crab_jax.annotation import items
from crab_jax.annotation import licences
from crab_jax.annotation import placing
from crab_jax.annotation import provenance
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation import truths
from crab_jax.annotation import writer_template
from crab_jax.annotation.checking import checks
from crab_jax.annotation.checking import findings
from crab_jax.annotation.checking import token_counts
from crab_jax.annotation.teaching import asking
from crab_jax.annotation.teaching import client as client_lib
from crab_jax.annotation.teaching import examples as examples_lib
from crab_jax.annotation.teaching import prompts as prompts_lib
from crab_jax.annotation.teaching import replies
from crab_jax.annotation.teaching import sending
from crab_jax.data import tasks

_REWRITTEN = 0.9  # temperature of later texts
_DOUBTED = 2  # doubt from which a row is flagged
_MEGA = 1_000_000


@dataclasses.dataclass(frozen=True)
class Teacher:
  """Writes reasoning; used by several threads.

  Attributes:
    asker: answers the requests.
    judge: answers whether a text is supported; None: nobody does.
    settings: whom to ask, and how.
    prompts: the texts.
    plans: of templates, for rows without a good text.
    table: the tasks.
    vocabulary: task -> every class of it.
    folders: of the media of the source, and the one that is written.
    media_as: how whole files come there.
    examples: texts that people accepted; None: those of the prompts.
    count: tells the tokens of a text.
  """

  asker: asking.Asker
  judge: asking.Asker | None
  settings: settings_lib.Teaching
  prompts: prompts_lib.Prompts
  plans: writer_template.Plans
  table: tasks.Tasks
  vocabulary: Mapping[str, frozenset[str]]
  media: files.Path
  out: files.Path
  media_as: str = "link"
  examples: examples_lib.Examples | None = None
  count: token_counts.Count = token_counts.about

  def probe(self) -> None:
    """Checks that the endpoint sees pictures and hears sound.

    Raises:
      UserError: it does not.
    """
    facts = self.facts("probe", "probe", 0.0) | {"media": []}

    def make():
      senses = sending.probe(self.settings.send == "video")
      asked = {"type": "text", "text": self.prompts.texts["probe"]}
      content = [*senses.parts, asked]
      return (
        [{"role": "user", "content": content}],
        senses.frames,
        senses.seconds,
      )

    try:
      said = replies.read(self.asker.ask(facts, make).text)
    except (client_lib.Unanswered, client_lib.Rejected) as error:
      raise errors.UserError(
        f"{self.settings.model} at {self.settings.url} takes no frames or no"
        f" sound: {error}"
      ) from error
    seen = said.seen.lower() if said else ""
    heard = said.heard.lower() if said else ""
    if "red" not in seen:
      raise errors.UserError(
        f"{self.settings.model} at {self.settings.url} does not see: of a red"
        f" picture it says {seen!r}"
      )
    words = ("tone", "beep", "sine", "buzz", "hum", "whistle", "note", "ring")
    if not any(word in heard for word in words) or "silen" in heard:
      raise errors.UserError(
        f"{self.settings.model} at {self.settings.url} does not hear: of a tone"
        f" it says {heard!r}"
      )

  def write(self, item: items.Item) -> provenance.Draft:
    """The reasoning of a row, and what was found in it."""
    try:
      return self._write(item)
    except truths.Unbuildable as error:
      return provenance.Draft("", "teacher", dropped=f"{error.status}: {error}")
    except client_lib.Rejected as error:
      return provenance.Draft("", "teacher", dropped=f"rejected: {error}")
    except client_lib.Unanswered as error:
      raise self.unanswered(item, error) from error

  def unanswered(
    self, item: items.Item, error: client_lib.Unanswered
  ) -> errors.UserError:
    """What ends a run at a row that got no reply."""
    return errors.UserError(
      f"{item.id}: {self.settings.url} does not answer: {error}. What was"
      " answered is kept; started again, the run goes on"
    )

  def _write(self, item: items.Item) -> provenance.Draft:
    notes = self._notes(item) if self.settings.passes == 2 else None
    reasons: list[str] = []
    failed: list[str] = []
    text = ""
    for attempt in range(1, self.settings.attempts + 1):
      reply = self._ask_reason(item, attempt, reasons, notes)
      said = None if reply.refused else replies.read(reply.text)
      if reply.refused or said is None or not said.reasoning:
        code = "refused" if reply.refused else "reply"
        failed.append(code)
        reasons = [checks.CODES[code]]
        continue
      text = said.reasoning
      witness = notes or findings.Notes(said.seen, said.heard, said.doubt)
      found = self._check(item, text, notes, said)
      wrong = [f for f in found if f.action == findings.REWRITE]
      if not wrong:
        found += self._judged(item, text)
        facts = self._origin(item, attempt, reply)
        return provenance.Draft(
          text, "teacher", facts, tuple(found), tuple(failed), witness
        )
      failed += [finding.code for finding in wrong]
      reasons = [finding.reason for finding in wrong]
    return self._fall_back(item, text, tuple(failed), reasons, notes)

  def _check(
    self,
    item: items.Item,
    text: str,
    notes: findings.Notes | None,
    said: replies.Said,
  ) -> list[findings.Finding]:
    context = self._context(item, notes)
    found = checks.run(text, context)
    if notes is None and said.doubt >= _DOUBTED:
      why = said.why or "no reason is given"
      found.append(
        findings.Finding(
          "contradicted", findings.FLAG, f"doubt {said.doubt} of 3: {why}"
        )
      )
    return found

  def _context(
    self, item: items.Item, notes: findings.Notes | None
  ) -> findings.Context:
    return findings.Context(
      item,
      self.table[item.task],
      self.vocabulary.get(item.task, frozenset()),
      self.settings.language,
      notes,
      self.count,
    )

  def _fall_back(
    self,
    item: items.Item,
    text: str,
    failed: tuple[str, ...],
    reasons: list[str],
    notes: findings.Notes | None,
  ) -> provenance.Draft:
    """What becomes of a row without a good text."""
    why = "; ".join(reasons)
    if self.settings.fallback == "template":
      task = self.table[item.task]
      text = writer_template.write(item, task, self.plans)
      return provenance.Draft(
        text,
        "template",
        {"saw": ["label"], "instead_of": "teacher"},
        (),
        failed,
        notes,
      )
    if self.settings.fallback == "drop":
      return provenance.Draft(
        "", "teacher", {}, (), failed, notes, dropped=f"no_good_text: {why}"
      )
    found = tuple(
      findings.Finding(code, findings.REWRITE, why)
      for code in dict.fromkeys(failed)
    )
    facts = self._origin(item, self.settings.attempts, None)
    return provenance.Draft(
      text, "teacher", facts, found, failed, notes, held=True
    )

  def _notes(self, item: items.Item) -> findings.Notes:
    """What is seen and heard, asked without the label."""
    senses = _Once(self, item)
    reply = self.asker.ask(
      self.facts(item.id, "perceive", self.settings.temperature)
      | self.media_facts(item),
      lambda: (
        prompts_lib.perceive(item, self.prompts, senses.get().parts),
        senses.get().frames,
        senses.get().seconds,
      ),
    )
    said = None if reply.refused else replies.read(reply.text)
    if said is None:
      return findings.Notes("", "", doubt=3)
    return findings.Notes(said.seen, said.heard, said.doubt)

  def _ask_reason(
    self,
    item: items.Item,
    attempt: int,
    reasons: list[str],
    notes: findings.Notes | None,
  ) -> client_lib.Reply:
    task, senses = self.table[item.task], _Once(self, item)
    noted = f"Seen: {notes.seen} Heard: {notes.heard}" if notes else ""
    reason = "; ".join(reasons)
    temperature = self.temperature(attempt)
    facts = self.facts(f"{item.id} {attempt}", "reason", temperature) | {
      "attempt": attempt,
      "fact": prompts_lib.fact(item, task, self.prompts),
      "help": writer_template.helps(item),
      "reason": reason,
      "notes": noted,
      **self.media_facts(item),
    }
    shown = self._shown(item)
    if shown:
      facts["examples"] = list(shown)

    def make():
      seen = None if notes else senses.get()
      messages = prompts_lib.request(
        item,
        task,
        self.prompts,
        media=seen.parts if seen else [],
        language=self.settings.language,
        reason=reason,
        notes=noted,
        shown=shown,
      )
      return messages, seen.frames if seen else 0, seen.seconds if seen else 0.0

    return self.asker.ask(facts, make)

  def _shown(self, item: items.Item) -> tuple[str, ...]:
    """Accepted texts that are examples for a row; (): those of the prompts."""
    if self.examples is None:
      return ()
    family = prompts_lib.family(self.table[item.task], self.prompts)
    return self.examples.of(item.id, family)

  def _judged(self, item: items.Item, text: str) -> list[findings.Finding]:
    """What another model finds of a text."""
    if self.judge is None:
      return []
    senses = _Once(self, item)
    facts = self.facts(item.id, "judge", 0.0) | self.media_facts(item)
    facts |= {
      "url": self.settings.judge,
      "model": self.settings.judge_model or self.settings.model,
      "text": text,
    }
    reply = self.judge.ask(
      facts,
      lambda: (
        prompts_lib.judge(item, self.prompts, senses.get().parts, text),
        senses.get().frames,
        senses.get().seconds,
      ),
    )
    said = None if reply.refused else replies.read(reply.text)
    if said is not None and said.doubt < _DOUBTED:
      return []
    reason = (said.reasoning or said.why) if said else "no reply"
    return [findings.Finding("judge", findings.FLAG, reason)]

  def senses(self, item: items.Item) -> sending.Senses:
    """The frames and the sound of a row, as a model will get them."""
    task = self.table[item.task]
    placing.put(item, task, self.out / item.task, self.media, self.media_as)
    row = build.row(item, task, "")
    most = self.settings.request_mb * _MEGA
    video = self.settings.send == "video"
    return sending.of_row(item, task, row, self.out, most, video)

  def temperature(self, attempt: int) -> float:
    """Of the first text, or a later one."""
    first = self.settings.temperature
    return first if attempt == 1 else max(first, _REWRITTEN)

  def facts(self, name: str, step: str, temperature: float) -> dict[str, Any]:
    """What every reply depends on."""
    digest = hashlib.sha256(name.encode()).digest()
    # Only what differs from frames has a name of its own.
    sent = {"send": "video"} if self.settings.send == "video" else {}
    return sent | {
      "url": self.settings.url,
      "model": self.settings.model,
      "prompts": self.prompts.hash,
      "step": step,
      "language": self.settings.language,
      "temperature": temperature,
      "seed": int.from_bytes(digest[:4]) >> 1,  # 31 bits: some want an int32
    }

  def media_facts(self, item: items.Item) -> dict[str, Any]:
    """What a reply depends on that is about the clip."""
    hashes = {column: facts.sha256 for column, facts in item.media.items()}
    return {"media": [hashes, item.cut]}

  def _origin(
    self, item: items.Item, attempt: int, reply: client_lib.Reply | None
  ) -> dict[str, Any]:
    tokens = reply.tokens if reply else None
    film = self.settings.send == "video" and sending.takes_video(
      self.table[item.task]
    )
    return {
      "saw": ["video" if film else "frames", "sound", "label"],
      "model": self.settings.model,
      "host": licences.host(self.settings.url),
      "prompts": self.prompts.hash[:16],
      "passes": self.settings.passes,
      "attempt": attempt,
      "tokens": list(tokens) if tokens else None,
    }


class _Once:
  """The senses of a row, made when a request needs them and only once."""

  def __init__(self, teacher: Teacher, item: items.Item):
    self._teacher = teacher
    self._item = item
    self._made: sending.Senses | None = None

  def get(self) -> sending.Senses:
    """The senses."""
    if self._made is None:
      self._made = self._teacher.senses(self._item)
    return self._made
