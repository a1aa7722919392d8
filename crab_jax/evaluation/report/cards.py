"""One sample as a card of the HTML report: picture, sound, question, answer.

Text comes from models and annotations, so all of it is escaped.
"""

import base64
import html
import re
import zlib

from crab_jax.data import tasks
from crab_jax.evaluation.reading import answers
from crab_jax.evaluation.reading import references
from crab_jax.evaluation.report import pictures
from crab_jax.evaluation.scoring import masks

_TEXT_LIMIT = 900  # characters of an answer that are shown
_ROWS = 12  # of a timeline, at most
_TAGS = re.compile(
  r"&lt;(answer|event|visual|audio|obj)&gt;(.{0,300}?)&lt;/\1&gt;"
)
_COLOURS = ("#4269d0", "#ff725c", "#3ca951", "#a463f2", "#efb118", "#6cc5b0")


def pick(rows: list[dict], count: int) -> tuple[list[dict], list[dict]]:
  """The worst and the best `count` rows, no row in both.

  Of equals, those with a text come first; then a hash of the id decides, so
  that they do not all show the first class of the file.
  """

  def rank(row):
    mixed = zlib.crc32(row["id"].encode())
    return row["score"]["score"], not row.get("text"), mixed

  ranked = sorted(rows, key=rank)
  count = min(count, (len(ranked) + 1) // 2)
  worst = ranked[:count]
  best = ranked[max(len(ranked) - count, count) :][::-1]
  return worst, best


def data_url(kind: str, data: bytes) -> str:
  return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(task: tasks.Task, row: dict, record) -> bytes | None:
  """The JPEG of what a row speaks of; None without a record."""
  if record is None or not record.frames:
    return None
  if task.visual == "image":
    drawn = _place(task, row, record)
  else:
    clips = sum("video" in key for key in task.media_keys("train"))
    drawn = pictures.contact_sheet(record.frames, clips)
  return pictures.jpeg(drawn)


def _place(task: tasks.Task, row: dict, record):
  """The image with the true and the answered place on it."""
  answer = answers.parse(task, row.get("text"))
  truth = pictures.true_mask(record)
  box = references.read(task, row["reference"]).box
  if box is None and truth is not None:
    box = masks.extent(truth)
  return pictures.place(record.frames[0], truth, box, answer.box, answer.points)


def card(task: tasks.Task, name: str, row: dict, record) -> str:
  """The HTML of one sample.

  Args:
    task: the row of its task.
    name: "worst", "best", or "" where all are alike.
    row: a scored row (`TaskScore.rows`).
    record: its `records.Record`, or None: without picture and sound.
  """
  score = row["score"]["score"]
  tone = "good" if score > 0.75 else "bad" if score < 0.25 else "middling"
  reference = references.read(task, row["reference"])
  answer = answers.parse(task, row.get("text"))
  parts = [
    f'<article class="card {tone}">',
    _media(task, row, record),
    f'<div class="head"><code>{html.escape(row["id"])}</code>'
    f'<span class="score"><small>{name}</small> {score:.2f}</span></div>',
    _question(row),
    f'<p class="said">{_said(row)}</p>',
    f'<p class="true"><b>true</b> {html.escape(in_words(task, reference))}</p>',
  ]
  if reference.kind == "events":
    parts.append(timeline(reference.events, answer.events))
  if row.get("text") and (answer.failure or answer.leniency):
    words = [answer.failure and f"not read: {answer.failure}"]
    words += [f"lenient: {name}" for name in answer.leniency]
    note = ", ".join(word for word in words if word)
    parts.append(f'<p class="note">{html.escape(note)}</p>')
  return "\n".join([*parts, "</article>"])


def _media(task: tasks.Task, row: dict, record) -> str:
  drawn = picture(task, row, record)
  if drawn is None:
    return ""
  lines = [
    f'<img loading="lazy" src="{data_url("image/jpeg", drawn)}"'
    f' alt="frames of {html.escape(row["id"])}">'
  ]
  if record.audio:
    sound = data_url("audio/mpeg", pictures.mp3(record.audio))
    lines.append(f'<audio controls preload="metadata" src="{sound}"></audio>')
  return f'<div class="media">{"".join(lines)}</div>'


def _question(row: dict) -> str:
  """The words that differ between samples of a task, if there are any."""
  fields = row.get("question") or {}
  words = [str(fields[k]) for k in ("question", "description") if k in fields]
  if "options" in fields:
    words.append(" / ".join(references.fields(fields["options"])))
  text = " — ".join(words)
  return f'<p class="question">{html.escape(text)}</p>' if text else ""


def _said(row: dict) -> str:
  text = row.get("text")
  if not text:
    return f"<i>no text ({html.escape(str(row.get('error') or 'empty'))})</i>"
  shown = text[:_TEXT_LIMIT] + (" …" if len(text) > _TEXT_LIMIT else "")
  return _TAGS.sub(r"<mark>\2</mark>", html.escape(shown, quote=False))


def in_words(task: tasks.Task, answer: answers.Answer) -> str:
  """An answer in one line."""
  if answer.kind == "events":
    spans = [
      f"{e.label} {e.start:g}–{e.end:g} s"
      + ("" if e.modality == "both" else f" ({e.modality})")
      for e in answer.events
    ]
    return " · ".join(spans) or "no event"
  if answer.exists is False:
    return "the object is not there"
  if answer.kind in ("place", "existence"):
    if answer.box:
      return f"box {list(answer.box)}"
    return "the green outline" if task.mask else "the object is there"
  return answer.label or answer.caption or ""


def timeline(
  truth: tuple[answers.Event, ...], said: tuple[answers.Event, ...]
) -> str:
  """An SVG: a row for each label and modality, true above answered."""
  every = list(dict.fromkeys(_row_name(e) for e in (*truth, *said)))
  if not every:
    return ""
  names = every[:_ROWS]
  end = max(10.0, *(event.end for event in (*truth, *said)))
  left, width, high = 104, 196, 30
  scale = width / end
  lines = []
  for i, name in enumerate(names):
    y = i * high
    colour = _COLOURS[i % len(_COLOURS)]
    lines.append(
      f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">'
      f"{html.escape(name[:17])}</text>"
    )
    for events, top, style in (
      (truth, y + 4, f'fill="{colour}"'),
      (said, y + 15, f'fill="{colour}33" stroke="{colour}"'),
    ):
      lines += [
        f'<rect x="{left + e.start * scale:.1f}" y="{top}" height="9" rx="2"'
        f' width="{max(min(e.end, end) - e.start, 0) * scale:.1f}" {style}/>'
        for e in events
        if _row_name(e) == name
      ]
  bottom = len(names) * high
  if len(every) > _ROWS:
    lines.append(
      f'<text x="{left}" y="{bottom + 17}">'
      f"and {len(every) - _ROWS} more labels</text>"
    )
    bottom += high
  step = 1 if end <= 12 else 5
  for second in range(0, int(end) + 1, step):
    x = left + second * scale
    lines.append(
      f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}" class="tick"/>'
      f'<text x="{x:.1f}" y="{bottom + 12}" text-anchor="middle" class="tick">'
      f"{second}</text>"
    )
  return (
    f'<svg class="timeline" viewBox="0 0 {left + width + 12} {bottom + 16}">'
    + "".join(lines)
    + "</svg>"
  )


def _row_name(event: answers.Event) -> str:
  return {"both": "", "visual": "see ", "audio": "hear "}[
    event.modality
  ] + event.label
