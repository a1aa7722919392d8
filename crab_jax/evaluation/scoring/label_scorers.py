"""Scores of the sets whose answer is one label: matching to QA.

Chance is the best constant answer, `classification.constant`. For the QA sets
a blind guess also knows the question: it is the better of that constant, of
the commonest answer of the question's type (counted without the sample
itself) and, for multiple choice, of the best constant position.
"""

import collections
import functools
from collections.abc import Callable

import numpy as np

from crab_jax.evaluation.reading import choices
from crab_jax.evaluation.reading import labels
from crab_jax.evaluation.reading import references
from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import classification
from crab_jax.evaluation.scoring import results

# The names that MUSIC-AVQA gives to its modalities, squashed.
_MODALITIES = {"audio": "Audio", "visual": "Visual", "audiovisual": "AV"}


def score(
  samples: list[accounting.Sample],
  metric: Callable[[list[str], list[str]], float],
  group: str | None = None,
  accuracy_name: str = "accuracy",
) -> results.Result:
  """Scores a closed set of classes.

  Args:
    samples: of one task.
    metric: of `classification`; the primary one.
    group: the synonyms that count, of `synonyms.json`.
    accuracy_name: what the literature of the set calls it.
  """
  truth, said, parts = _compared(samples, group)
  guess = classification.constant(truth)
  shown = _shown(samples, group)
  return results.Result(
    value=metric(truth, said),
    chance=metric(truth, guess),
    guess=f'always "{shown[guess[0]]}"',
    parts=parts,
    details={
      accuracy_name: classification.accuracy(truth, said),
      "weighted_F1": classification.weighted_f1(truth, said),
      "UAR": classification.uar(truth, said),
      "classes": len(set(truth)),
      "confusion": _confusion(truth, said, shown),
      **_label_leniency(parts),
    },
    official=_readable_only(samples, truth, said, metric),
  )


def _compared(samples, group):
  """Canonical truth and answers, and what each sample's match took."""
  truth, said, parts = [], [], []
  for sample in samples:
    true = labels.canonical(sample.reference.label, group)
    answer = sample.answer.label
    word = labels.canonical(answer, group) if answer else classification.UNREAD
    truth.append(true)
    said.append(word)
    part = {"score": float(true == word)}
    took = answer and labels.leniency(answer, sample.reference.label, group)
    parts.append({**part, "leniency": took} if took else part)
  return truth, said, parts


def _label_leniency(parts: list[dict]) -> dict:
  """How many matches needed the synonym table or a change of spaces."""
  count = collections.Counter(p["leniency"] for p in parts if "leniency" in p)
  return {"label_leniency": dict(count)}


def _shown(samples, group) -> dict[str, str]:
  """Canonical label -> its first spelling among the references."""
  names: dict[str, str] = {}
  for sample in samples:
    label = sample.reference.label
    names.setdefault(labels.canonical(label, group), label)
  return names


def _confusion(truth, said, shown) -> dict:
  table = classification.confusion(truth, said)
  return {
    "labels": [shown[name] for name in table.labels],
    "counts": table.counts.tolist(),  # the last column: other or unread
  }


def _readable_only(samples, truth, said, metric) -> dict:
  """The metric over the rows that could be read; the others left out."""
  kept = [i for i, sample in enumerate(samples) if not sample.failed]
  pick = lambda values: [values[i] for i in kept]  # noqa: E731
  return {
    "value": metric(pick(truth), pick(said)) if kept else 0.0,
    "n": len(kept),
    "dropped": len(samples) - len(kept),
  }


def music_avqa(samples: list[accounting.Sample]) -> results.Result:
  """MUSIC-AVQA: overall accuracy, three modalities and nine types.

  Reference: arXiv 2203.14072, main_avst.py of its code. The vocabulary of
  42 answers is not enforced: an answer outside of it equals no reference.
  """
  truth, said, parts = _compared(samples, "qa")
  kinds = [_avqa_type(sample.raw.get("type")) for sample in samples]
  modalities = [kind.split(" ")[0] for kind in kinds]
  extra = {"by_type": kinds, "by_modality": modalities}
  return _qa(samples, truth, said, parts, kinds, extra)


def _avqa_type(value) -> str:
  """ "AV Counting" of ["Audio-Visual", "Counting"], however it is stored."""
  words = references.fields(value)
  if not words:
    return "unknown"
  first = _MODALITIES.get(labels.squashed(words[0]), words[0])
  return " ".join([first, *words[1:]])


def avqa(samples: list[accounting.Sample]) -> results.Result:
  """AVQA: accuracy over four choices, overall and by question type.

  What an answer and a reference mean among the options: `choices`. Reference:
  Yang et al., ACM MM 2022.
  """
  options = [references.options(sample.row) for sample in samples]
  truth, said, parts = [], [], []
  for sample, own in zip(samples, options, strict=True):
    true = choices.true_option(sample.reference.label or "", own)
    answer, took = _option(sample.answer.label, true, own)
    truth.append(labels.canonical(true, "qa"))
    said.append(labels.canonical(answer, "qa") if answer else "")
    part = {"score": float(truth[-1] == said[-1])}
    parts.append({**part, "leniency": took} if took else part)
  kinds = [
    " ".join(references.fields(sample.raw.get("question_type"))) or "unknown"
    for sample in samples
  ]
  relations = [
    " ".join(references.fields(sample.raw.get("question_relation")))
    or "unknown"
    for sample in samples
  ]
  positions = _positions(truth, options)
  extra = {"by_type": kinds, "by_relation": relations}
  return _qa(samples, truth, said, parts, kinds, extra, positions)


def _option(
  answer: str | None, true: str, options: tuple[str, ...]
) -> tuple[str | None, str | None]:
  """What an answer means among the options, and the leniency that took."""
  if not answer:
    return None, None
  found, took = choices.option(answer, options)
  if found is None:
    return answer, labels.leniency(answer, true, "qa")
  return found, took


def _positions(truth, options) -> list[str]:
  """The position of the right option of each sample; "" where it has none."""
  positions = []
  for true, own in zip(truth, options, strict=True):
    words = [labels.canonical(option, "qa") for option in own]
    positions.append(str(words.index(true)) if true in words else "")
  return positions


def _qa(samples, truth, said, parts, kinds, extra, positions=()):
  """Accuracy overall and by group, and the best of the blind guesses."""
  shown = dict(zip(truth, (s.reference.label for s in samples), strict=True))
  constant = classification.constant(truth)
  by_type = classification.leave_one_out(truth, kinds)
  guesses = {
    f'always "{shown[constant[0]]}"': np.equal(truth, constant).mean(),
    "the commonest answer of the question's type": np.equal(
      truth, by_type
    ).mean(),
  }
  known = [position for position in positions if position]
  if known:
    best = classification.constant(known)[0]
    guesses["always the same option"] = np.equal(positions, best).mean()
  guess = max(guesses, key=lambda name: guesses[name])
  right = [part["score"] == 1 for part in parts]
  tables = {
    name: classification.by_group(right, groups)
    for name, groups in extra.items()
  }
  return results.Result(
    value=float(np.mean(right)),
    chance=float(guesses[guess]),
    guess=guess,
    parts=parts,
    details={
      **tables,
      "blind_guesses": {name: float(v) for name, v in guesses.items()},
      **_label_leniency(parts),
    },
    official=_readable_only(samples, truth, said, classification.accuracy),
  )


accuracy = functools.partial(score, metric=classification.accuracy)
weighted_f1 = functools.partial(score, metric=classification.weighted_f1)
uar = functools.partial(score, metric=classification.uar, accuracy_name="WAR")
