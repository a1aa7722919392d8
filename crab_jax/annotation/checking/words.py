"""Checks of what a text says: marks, tells, inventions, form.

Each function takes the text and what is known of the row, and gives a finding or
None. Words are English: other languages are checked for marks and length.
"""

import re

from crab_jax.annotation import facts
from crab_jax.annotation.checking import findings
from crab_jax.annotation.checking import token_counts

_FEWEST, _MOST = 12, 120  # words of a reasoning
_TOKENS = 200  # of a whole target

_MARKS = re.compile(
  r"<\s*/?\s*[A-Za-z|][^<>]{0,60}>|</s>|<\||\|>"  # tags
  r"|[\[({]\s*-?\d+(?:\.\d+)?(?:\s*[,;\s]\s*-?\d+(?:\.\d+)?)+\s*[\])}]"  # lists
  r"|\{[^{}]*:[^{}]*\}|[\"'][\w ]+[\"']\s*:"  # JSON
  r"|\*\*|__|```|`|^\s{0,3}#{1,6}\s|^\s*[-*•]\s|^\s*\d+[.)]\s"  # markdown
  r"|\\boxed|\\\(|\\\[|\]\(http",
  re.MULTILINE,
)
_TOLD = re.compile(
  r"(?<!record )(?<!price )(?<!warning )(?<!name )(?<!wine )(?<!food )"
  r"\blabel(?:s|l?ed|l?ing)?\b(?! (?:on|of) (?:the|a|its|his|her) (?!clip|video|"
  r"audio|sound|image))"
  r"|\bannotat\w*|\bground[- ]?truths?\b|\bgold(?:en)?[- ](?:label|answer|truth)"
  r"|\bmetadata\b|\bdataset\b|\bthe prompt\b|\binstructions?\b"
  r"|\b(?:correct|expected|reference|target|right|true|known|intended|desired)"
  r" (?:answer|class|category|label|response|option is given)\b"
  r"|\b(?:given|stated|specified|supplied|indicated|mentioned|assigned)"
  r" (?:that )?(?:answer|class|category|event|emotion|action|fact|information"
  r"|times?|interval|box|object|caption)s?\b"
  r"|\b(?:as|was|were|is|been) (?:stated|specified|instructed|informed|told)\b"
  r"|\bas (?:given|indicated|mentioned|described|noted|listed|requested)\b"
  r"|\bprovided\b(?! by\b)|\baccording to (?:the|what)\b"
  r"|\b(?:I|we) (?:was|were|am|are|have been) (?:told|given|informed|asked)\b"
  r"|\bthe (?:hint|transcript|information) (?:says|states|given|tells)\b"
  r"|\bclassified as\b|\btagged (?:as|with)\b",
  re.IGNORECASE,
)
_QUOTE = re.compile(r"[\"“«]([^\"”»]{2,300})[\"”»]")
_PERSON = re.compile(
  r"\b(?:Mr|Mrs|Ms|Dr|Prof|Sir|Lady|President|Professor|King|Queen)\.?\s+"
  r"[A-Z][a-z]+"
  r"|\b(?:named|called|is|by|actor|actress|singer|character|celebrity)\s+"
  r"[A-Z][a-z]+\s+[A-Z][a-z]+"
  r"|\b(?:named|a (?:man|woman|person|girl|boy) called)\s+[A-Z][a-z]+"
  r"|(?<![.!?]\s)(?<!^)\b(?:James|John|Robert|Michael|William|David|Richard|"
  r"Joseph|Thomas|Charles|Daniel|Matthew|Anthony|Mark|Steven|Paul|Andrew|Joshua|"
  r"Kevin|Brian|George|Edward|Ronald|Jason|Ryan|Jacob|Gary|Eric|Jonathan|Peter|"
  r"Mary|Patricia|Jennifer|Linda|Elizabeth|Barbara|Susan|Jessica|Sarah|Karen|"
  r"Lisa|Nancy|Sandra|Ashley|Emily|Donna|Michelle|Carol|Amanda|Melissa|Deborah|"
  r"Stephanie|Rebecca|Laura|Anna|Ross|Rachel|Monica|Chandler|Joey|Phoebe)\b",
)
_PRIVATE = re.compile(
  r"\b(?:asian|african|african-american|caucasian|hispanic|latin[oa]|european|"
  r"arab|chinese|japanese|korean|indian|american|mexican|russian|german|french|"
  r"italian|muslim|christian|jewish|hindu|buddhist|catholic|islamic|religious|"
  r"atheist|disabled|autistic|pregnant|alcoholic|addicted|bipolar|"
  r"schizophreni\w+|mentally ill|mental illness|wheelchair-bound|diabetic|"
  r"epileptic|cancer|suffers from|black (?:man|woman|person|boy|girl)|"
  r"white (?:man|woman|person|boy|girl)|immigrant|ethnic\w*|race|gay|lesbian|"
  r"homosexual|transgender)\b",
  re.IGNORECASE,
)


def _rewrite(code: str, reason: str, *words: str) -> findings.Finding:
  return findings.Finding(code, findings.REWRITE, reason, words)


def marks(text: str, context: findings.Context) -> findings.Finding | None:
  """Tags, bracketed numbers, JSON, markdown: what answers are made of."""
  if match := _MARKS.search(text):
    return _rewrite(
      "marks", "use plain sentences: no tags, brackets or marks", match[0]
    )
  return None


def told(text: str, context: findings.Context) -> findings.Finding | None:
  """Words that tell of having been told the answer."""
  text = _without_own(text, context)
  if match := _TOLD.search(text):
    return _rewrite(
      "told",
      "say nothing of a label, of facts that were given, or of instructions",
      match[0],
    )
  return None


def _without_own(text: str, context: findings.Context) -> str:
  """The text without the row's own words, which may be any."""
  for name in (*context.labels, facts.question(context.item.row)):
    text = text.replace(name, " ") if name else text
  return text


def length(text: str, context: findings.Context) -> findings.Finding | None:
  """Too few words, or too many."""
  words = len(text.split())
  if context.language in ("zh", "ja"):  # no spaces between words
    words = len(re.findall(r"\w", text)) // 2
  if not _FEWEST <= words <= _MOST:
    return _rewrite(
      "length", f"write {_FEWEST} to {_MOST} words, these are {words}"
    )
  return None


def whole_length(
  target: str, count: token_counts.Count
) -> findings.Finding | None:
  """A target of more tokens than an answer should have."""
  if (found := count(target)) > _TOKENS:
    return _rewrite("length", f"shorter: the target has {found} tokens")
  return None


def first_sentence(
  text: str, context: findings.Context
) -> findings.Finding | None:
  """The answer in the first sentence, with no reasoning before it."""
  if context.task.kind not in ("label", "events"):
    return None
  said = findings.sentences(_without_question(text, context))
  asked = context.item.row.question
  for label in context.labels:
    if label.isdecimal() or any(True for _ in findings.named(label, asked)):
      continue
    if said and (match := next(iter(findings.named(label, said[0])), None)):
      return findings.Finding(
        "no_reasoning",
        findings.FLAG,
        "the first sentence says the answer",
        (match[0],),
      )
  return None


def _without_question(text: str, context: findings.Context) -> str:
  row = context.item.row
  return text.replace(facts.question(row), " ... ") if row.question else text


def invented(text: str, context: findings.Context) -> findings.Finding | None:
  """Quotes that nobody says, names of persons, what a clip cannot show."""
  told_words = _letters(context.told)
  for match in _QUOTE.finditer(text):
    if _letters(match[1]) not in told_words:
      return _rewrite("invented", "quote the transcript alone", match[0])
  for pattern, reason in (
    (_PERSON, "name no person"),
    (_PRIVATE, "say nothing of health, origin or religion"),
  ):
    for match in pattern.finditer(text):
      if _letters(match[0]) not in told_words:
        return _rewrite("invented", reason, match[0])
  return None


def _letters(text: str) -> str:
  return " ".join(re.findall(r"\w+", text.lower()))
