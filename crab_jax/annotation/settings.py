"""The settings of one annotation, as the command's flags give them."""

import dataclasses

WRITERS = ("template", "bare", "teacher")
FALLBACKS = ("human", "template", "drop")
WEAK = ("skip", "whole", "teacher")
MEDIA_AS = ("link", "copy")
REVIEWS = ("none", "flagged", "all")
EXAMPLES = ("ours", "reviewed")
SENDS = ("frames", "video")


@dataclasses.dataclass(frozen=True)
class Settings:
  """How rows become annotations.

  Attributes:
    task: of rows that name none.
    split: shares of train, val and test by group.
    window: seconds of the parts into which clips with events are cut, whose
      times are whole seconds; 0: clips stay whole, with their true times.
    windows_per_clip: at most.
    weak: what becomes of rows with labels and no times: "skip", "whole" (the
      label lasts as long as the clip) or "teacher" (it proposes times, which
      wait for a person).
    writer: of the reasoning: "template", "bare" (conclusions alone), "teacher".
    templates: a file that replaces ours, or None.
    tokenizer: a folder with the tokenizer.json of a model, for exact counts; or
      None.
    media_as: "link" or "copy"; parts of files are cut anew in any case.
    require_review: which rows are built only when accepted: "none",
      "flagged" or "all".
    allow_overlap: whether what belongs together may be in several splits.
    allow_invalid: whether lines that are no rows are left out.
  """

  task: str | None = None
  split: str = "80,10,10"
  window: float = 10.0
  windows_per_clip: int = 3
  weak: str = "skip"
  writer: str = "template"
  templates: str | None = None
  tokenizer: str | None = None
  media_as: str = "link"
  require_review: str = "flagged"
  allow_overlap: bool = False
  allow_invalid: bool = False


@dataclasses.dataclass(frozen=True)
class Teaching:
  """Who is asked for reasoning, and how.

  Attributes:
    url: of an OpenAI-style endpoint.
    model: its name there.
    prompts: a file that replaces ours, or None.
    passes: 1, or 2: first what is seen and heard without the label, then the
      reasoning from these notes and the label.
    attempts: texts that are asked for at most.
    fallback: what becomes of a row without a good text: "human" (held for
      review), "template" or "drop".
    language: of the texts.
    examples: in the prompts: "ours", or "reviewed": texts that people accepted.
    send: "frames" that the model will get, or "video": a small video.
    temperature: of the first text; later ones have 0.9 at least.
    request_mb: megabytes of a request at most.
    judge, judge_model: another endpoint, asked whether the clip supports a
      text; None: nobody is.
    local_hosts: hosts that are one's own.
    allow_remote: sets that may be sent to other hosts against their terms.
  """

  url: str
  model: str
  prompts: str | None = None
  passes: int = 1
  attempts: int = 3
  fallback: str = "human"
  language: str = "en"
  examples: str = "ours"
  send: str = "frames"
  temperature: float = 0.7
  request_mb: float = 18.0
  judge: str | None = None
  judge_model: str | None = None
  local_hosts: tuple[str, ...] = ()
  allow_remote: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Transport:
  """How fast and at what price; the texts do not depend on it.

  Attributes:
    key: for the teacher's endpoint, or None.
    judge_key: for that of the judge; None: the teacher's where it is the same
      endpoint, else none.
    workers: requests at a time.
    per_minute, tokens_per_minute: at most; 0: any number.
    budget: what may be spent in all runs on a folder; None: anything.
    price_in, price_out: of a million tokens.
    timeout: seconds for a request.
  """

  key: str | None = dataclasses.field(default=None, repr=False)
  judge_key: str | None = dataclasses.field(default=None, repr=False)
  workers: int = 4
  per_minute: int = 0
  tokens_per_minute: int = 0
  budget: float | None = None
  price_in: float = 0.0
  price_out: float = 0.0
  timeout: float = 120.0
