"""Scores of captions.

The primary metric is CIDEr-D over 10, so that 1 is the reference itself. It
weighs words by how well they distinguish clips, so a constant caption, the
best one of which is chance, stays low; ROUGE-L gives such a caption most of
its words. Both are in the details, with what the constant has.
"""

import numpy as np

from crab_jax.evaluation.scoring import accounting
from crab_jax.evaluation.scoring import captions
from crab_jax.evaluation.scoring import java_captions
from crab_jax.evaluation.scoring import meteor
from crab_jax.evaluation.scoring import results

_GUESSES = 24  # references tried as a constant caption
_CLIPS = 500  # clips that they are tried on
_OWN_TOKENS = "pure Python, not PTB"
_OWN_METEOR = "1.5 with its exact and stem stages, own code"


def score(samples: list[accounting.Sample]) -> results.Result:
  """CIDEr-D, BLEU, METEOR, ROUGE-L and content words of one set.

  Official convention: captions that are not there are left out.
  """
  truth = [captions.words(s.reference.caption or "") for s in samples]
  said = [captions.words(s.answer.caption or "") for s in samples]
  cider = captions.Cider(truth)
  numbers = _numbers(cider, truth, said)
  guess = _constant(cider, truth)
  blind = _numbers(cider, truth, [truth[guess]] * len(truth))
  # 10 is the most that CIDEr-D gives.
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
      **_bleu(truth, said),
      "of_the_constant": _means(blind),
      "tokenizer": _OWN_TOKENS,
      "METEOR_is": _OWN_METEOR,
    },
    official=_official(samples, numbers, truth, said),
  )


def released(samples: list[accounting.Sample], official: dict) -> dict:
  """The official column by the released programs, where they are there.

  It says which tokenizer and which METEOR its numbers are of, and why.

  Args:
    samples: of one set.
    official: the column by code of our own.
  """
  truth = [s.reference.caption or "" for s in samples]
  said = [s.answer.caption or "" for s in samples]
  kept = _kept(samples)
  try:
    words = java_captions.tokens([*truth, *said])
    true, answered = words[: len(truth)], words[len(truth) :]
    pairs = [true[i] for i in kept], [answered[i] for i in kept]
    meteors = java_captions.meteor(*pairs)
  except java_captions.Unavailable as error:
    own = official["METEOR_is"]
    return {**official, "METEOR_is": f"{own} (the released one: {error})"}
  numbers = _numbers(captions.Cider(true), true, answered)
  numbers["METEOR"][kept] = meteors
  official = _official(samples, numbers, true, answered)
  return {
    **official,
    **_spider(official["CIDEr"], *pairs),
    "METEOR_is": "1.5 as released, by Java",
    "tokenizer": "PTB as released, by Java",
  }


def _spider(cider: float | None, truth, said) -> dict:
  """SPICE, and its mean with CIDEr; else why they are not there.

  Reference: Liu et al., ICCV 2017 (arXiv 1612.00370).
  """
  try:
    spice = float(np.mean(java_captions.spice(truth, said))) if said else None
  except java_captions.Unavailable as error:
    return {"SPICE": None, "SPIDEr": None, "SPICE_is": f"not there: {error}"}
  if cider is None or spice is None or not np.isfinite(spice):
    return {"SPICE": None, "SPIDEr": None}
  return {"SPICE": spice, "SPIDEr": (cider + spice) / 2}


def _kept(samples: list[accounting.Sample]) -> list[int]:
  return [i for i, sample in enumerate(samples) if not sample.failed]


def _official(samples, numbers: dict[str, np.ndarray], truth, said) -> dict:
  """The official column: the captions that are there, among all references."""
  kept = _kept(samples)
  means = {
    name: float(values[kept].mean()) if kept else None
    for name, values in numbers.items()
    if name != "content_F1"  # no metric of others
  }
  return {
    "value": (means["CIDEr"] or 0.0) / 10,
    **means,
    **_bleu([truth[i] for i in kept], [said[i] for i in kept]),
    "METEOR_is": _OWN_METEOR,
    "tokenizer": _OWN_TOKENS,
    "n": len(kept),
    "dropped": len(samples) - len(kept),
  }


def _short(text: str, limit: int = 120) -> str:
  return text if len(text) <= limit else f"{text[:limit].rstrip()} .."


def _bleu(truth, said) -> dict[str, float | None]:
  """BLEU-1 to BLEU-4 by name; None of no clips."""
  if not truth:
    return dict.fromkeys(("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"))
  values = captions.bleu(truth, said)
  return {f"BLEU-{n}": value for n, value in enumerate(values, 1)}


def _numbers(cider, truth, said) -> dict[str, np.ndarray]:
  """The metrics that are means over clips: name -> float64[n]."""
  common = captions.common_words(truth)
  each = [
    (
      cider.score(i, cider.weigh(s)),
      captions.rouge_l(t, s),
      meteor.meteor(t, s),
      captions.content_f1(t, s, common),
    )
    for i, (t, s) in enumerate(zip(truth, said, strict=True))
  ]
  names = ("CIDEr", "ROUGE-L", "METEOR", "content_F1")
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
