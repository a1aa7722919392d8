"""Scores of captions.

The primary metric is CIDEr-D over 10, so that 1 is the reference itself. It
weighs words by how well they distinguish clips, so a constant caption, the
best one of which is chance, stays low; ROUGE-L gives such a caption most of
its words. Both are in the details, with what the constant has.
"""

import numpy as np

from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import captions
from crab_jax.evaluation.scoring import results

_GUESSES = 24  # references tried as a constant caption
_CLIPS = 500  # clips that they are tried on


def score(samples: list[accounting.Sample]) -> results.Result:
  """CIDEr-D, BLEU-4, METEOR-exact, ROUGE-L and content words of one set."""
  truth = [captions.words(s.reference.caption or "") for s in samples]
  said = [captions.words(s.answer.caption or "") for s in samples]
  cider = captions.Cider(truth)
  numbers = _numbers(cider, truth, said)
  guess = _constant(cider, truth)
  blind = _numbers(cider, truth, [truth[guess]] * len(truth))
  kept = [i for i, sample in enumerate(samples) if not sample.failed]
  rank = numbers["CIDEr"] / 10
  return results.Result(
    value=float(rank.mean()),
    chance=float(blind["CIDEr"].mean() / 10),
    guess=f'always "{_short(samples[guess].reference.caption or "")}"',
    parts=[
      {"score": float(rank[i]), **{k: float(v[i]) for k, v in numbers.items()}}
      for i in range(len(samples))
    ],
    details={
      **_means(numbers),
      "BLEU-4": captions.bleu4(truth, said),
      "of_the_constant": _means(blind),
      "tokenizer": "pure Python, not PTB",
    },
    official={
      "value": float(np.mean([rank[i] for i in kept] or 0)),
      "n": len(kept),
      "dropped": len(samples) - len(kept),
    },
  )


def _short(text: str, limit: int = 120) -> str:
  return text if len(text) <= limit else f"{text[:limit].rstrip()} .."


def _numbers(cider, truth, said) -> dict[str, np.ndarray]:
  """The metrics that are means over clips: name -> float64[n]."""
  common = captions.common_words(truth)
  each = [
    (
      cider.score(i, cider.weigh(s)),
      captions.rouge_l(t, s),
      captions.meteor_exact(t, s),
      captions.content_f1(t, s, common),
    )
    for i, (t, s) in enumerate(zip(truth, said, strict=True))
  ]
  names = ("CIDEr", "ROUGE-L", "METEOR-exact", "content_F1")
  return dict(zip(names, np.array(each).T, strict=True))


def _means(numbers: dict[str, np.ndarray]) -> dict[str, float]:
  return {name: float(values.mean()) for name, values in numbers.items()}


def _constant(cider: captions.Cider, truth: list[list[str]]) -> int:
  """The reference that, said of every clip, has the best CIDEr-D."""
  clips = range(0, len(truth), max(len(truth) // _CLIPS, 1))
  best = {}
  for i in range(0, len(truth), max(len(truth) // _GUESSES, 1)):
    guess = cider.weigh(truth[i])
    best[i] = sum(cider.score(clip, guess) for clip in clips)
  return max(best, key=lambda i: best[i])
