"""Numbers out of the routers' sums: load, entropy, dead heads, distances.

Works on `statistics.Statistics`; every adapted projection of every layer has the
same weight. Entropies are shares of log E: 1 is uniform. Low entropy of the tokens
with high entropy of their mean is specialisation, both low is collapse.
"""

import collections

import numpy as np

from crab_jax import array_types as at
from crab_jax.paradigms import network
from crab_jax.routers import statistics as router_statistics
from crab_jax.routers import sums as router_sums

# A head with less than this share of an equal load is dead.
DEAD = 0.1
# Of the tokens' largest gate.
QUANTILES = (0.05, 0.5, 0.95)


def by_layer(
  sums: at.Float[np.ndarray, "*L Q S"],
) -> at.Float[np.ndarray, "L Q S"]:
  """Sums of a projection with a layer axis, stacked or not."""
  return sums if sums.ndim == 3 else sums[None]


def towers(statistics: router_statistics.Statistics) -> dict[str, list[str]]:
  """Tower -> its projections."""
  found = collections.defaultdict(list)
  for name in statistics.sums:
    found[network.label(name)].append(name)
  return dict(found)


def summary(
  statistics: router_statistics.Statistics, heads: int, tasks: int
) -> dict[str, dict[str, float]]:
  """Tower -> scalars over all tokens of all datasets.

  Args:
    statistics: groups are `tasks` datasets, then the token kinds.
    heads: E.
    tasks: number of datasets.

  Returns:
    entropy, entropy_std: of the tokens' gates; mean_entropy: of the mean gate;
    top_win: the largest share of tokens won by one head; largest_05, _50, _95:
    quantiles of the tokens' largest gate; load_cv2: squared coefficient of
    variation of the heads' load; dead_heads: share of heads with less than a
    tenth of an equal load; logit_rms: of the router's logits. Means over
    projections and layers.
  """
  found = {}
  for tower, names in towers(statistics).items():
    parts = [by_layer(statistics.sums[name])[:, :tasks] for name in names]
    total = np.concatenate(parts).sum(1)  # [L, S], all datasets together
    found[tower] = _scalars(
      total[router_statistics.token_count(total, heads) > 0], heads
    )
  return found


def _scalars(
  total: at.Float[np.ndarray, "L S"], heads: int
) -> dict[str, float]:
  if not len(total):
    return {}
  columns = router_sums.Columns(heads)
  means = total / router_statistics.token_count(total, heads)[:, None]
  load, entropy = means[:, columns.gates], means[:, columns.entropy]
  # E[x^2] - E[x]^2 of float sums may be slightly below 0: see the maximum.
  variance = means[:, columns.entropy_square] - entropy**2
  quantiles = [
    largest_quantiles(histogram, heads, QUANTILES)
    for histogram in total[:, columns.largest]
  ]
  found = {
    "entropy": entropy,
    "entropy_std": np.sqrt(np.maximum(variance, 0)),
    "mean_entropy": entropy_share(load),
    "top_win": means[:, columns.wins].max(-1),
    "load_cv2": load.var(-1) / load.mean(-1) ** 2,
    "dead_heads": (load < DEAD * load.mean(-1, keepdims=True)).mean(-1),
    "logit_rms": np.sqrt(means[:, columns.logit_square]),
  }
  for quantile, values in zip(QUANTILES, np.transpose(quantiles), strict=True):
    found[f"largest_{quantile * 100:02.0f}"] = values
  return {name: float(values.mean()) for name, values in found.items()}


def largest_quantiles(
  histogram: at.Float[np.ndarray, "S"], heads: int, quantiles: tuple[float, ...]
) -> at.Float[np.ndarray, "K"]:
  """Quantiles of the tokens' largest gate, straight lines within a bin.

  Args:
    histogram: tokens in `router_sums.BINS` bins from 1/E to 1; not all zero.
    heads: E.
    quantiles: between 0 and 1.
  """
  reached = np.concatenate([[0], np.cumsum(histogram)]) / histogram.sum()
  edges = np.linspace(1 / heads, 1, len(reached))
  return np.interp(quantiles, reached, edges)


def entropy_share(
  gates: at.Float[np.ndarray, "*L E"],
) -> at.Float[np.ndarray, "*L"]:
  """Entropy of the gates' shares of their sum, as a share of log E."""
  shares = gates / gates.sum(-1, keepdims=True)
  # A head without load has share 0, and 0 log 0 is 0: no -inf must arise.
  logs = np.log(np.maximum(shares, 1e-30))
  return -(shares * logs).sum(-1) / np.log(max(gates.shape[-1], 2))


def mean_gates(
  statistics: router_statistics.Statistics, heads: int
) -> at.Float[np.ndarray, "P Q E"]:
  """Mean gates of every projection of every layer; NaN: no such token."""
  found = statistics.gates(heads)
  return np.concatenate([by_layer(leaf) for leaf in found.values()])


def vectors(
  statistics: router_statistics.Statistics, heads: int, groups: int
) -> at.Float[np.ndarray, "Q X"]:
  """For each of the first groups its mean gates, all projections in a row."""
  gates = mean_gates(statistics, heads)[:, :groups]  # [P, Q, E]
  # [P, Q, E] -> [Q, P E]
  return gates.transpose(1, 0, 2).reshape(groups, -1)


def distances(
  points: at.Float[np.ndarray, "Q X"], heads: int
) -> at.Float[np.ndarray, "Q Q"]:
  """Jensen-Shannon distance of groups by their shares, mean over projections.

  The square root of the divergence to base 2: 0 alike, 1 disjoint heads.

  Args:
    points: of `vectors`.
    heads: E.

  Reference: Endres and Schindelin, "A new metric for probability
  distributions", 2003.
  """
  gates = points.reshape(len(points), -1, heads)  # [Q, P, E]
  gates = gates / gates.sum(-1, keepdims=True)
  one, two = gates[:, None], gates[None]

  def bits(p, q):
    ratio = np.log2(np.maximum(p, 1e-30)) - np.log2(np.maximum(q, 1e-30))
    return (p * ratio).sum(-1)

  middle = (one + two) / 2
  divergence = (bits(one, middle) + bits(two, middle)) / 2
  # Of equal groups the rounded divergence may be negative.
  return np.sqrt(np.maximum(divergence, 0)).mean(-1)
