"""What the routers of a checkpoint do on a dataset: numbers and pictures.

{out}/router.json    gates, wins and entropy by dataset and token kind for
                     every projection and layer; load, quantiles of the
                     largest gate, dead heads and towers; likeness of heads
                     and the size of what each adds; distances between
                     datasets, within a family and across
{out}/router.md, router/*.png
"""

import itertools

import numpy as np
from matplotlib import figure

from crab_jax import array_types as at
from crab_jax import files
from crab_jax import plotting
from crab_jax.paradigms import network
from crab_jax.routers import gates
from crab_jax.routers import heads as heads_lib
from crab_jax.routers import plots as router_plots
from crab_jax.routers import routing
from crab_jax.routers import statistics as router_statistics
from crab_jax.routers import sums as router_sums

_KINDS = [kind.name.lower() for kind in at.TokenKind]
_PLOTS = "router"
_PANELS = 4  # groups of layers side by side


def embed(
  points: at.Float[np.ndarray, "n X"],
) -> tuple[at.Float[np.ndarray, "n 2"], at.Float[np.ndarray, "2"]]:
  """The first two principal components, and their shares of the variance."""
  centred = points - points.mean(0)
  # By the points and not by a covariance, which has a row and column for every
  # projection.
  rows, strength, _ = np.linalg.svd(centred, full_matrices=False)
  # Points on a line, or a single one, have fewer than two components.
  projected = np.zeros((len(points), 2))
  known = min(2, len(strength))
  projected[:, :known] = rows[:, :known] * strength[:known]
  shares = np.zeros(2)
  total = (strength**2).sum()
  if total > 0:
    shares[:known] = strength[:known] ** 2 / total
  return projected, shares


def write(out: files.Path, found: routing.Found, params: at.Tree) -> files.Path:
  """Writes router.json, router.md and the pictures; returns router.md."""
  files.make_folder(out / _PLOTS)
  content = to_json(found, params)
  files.write_json(out / "router.json", content)
  drawn = figures(found, params)
  for name, picture in drawn.items():
    files.write_bytes(out / _PLOTS / f"{name}.png", plotting.png(picture))
  path = out / "router.md"
  files.write_text(path, to_markdown(content, list(drawn)))
  return path


def to_json(found: routing.Found, params: at.Tree) -> dict:
  """The content of router.json; None where nothing was seen."""
  statistics, heads = found.statistics, found.heads
  seen = found.seen
  points = gates.vectors(statistics, heads, len(found.table))[seen]
  away = gates.distances(points, heads)
  return _plain(
    {
      "heads": heads,
      "samples": len(found.samples),
      "groups": [*found.table, *_KINDS],
      "tokens": statistics.tokens,
      "towers": gates.summary(statistics, heads, len(found.table)),
      "weights": heads_lib.summary(params),
      "dead_towers": heads_lib.dead_towers(params),
      "gates": statistics.gates(heads),
      "wins": statistics.wins(heads),
      "entropy": statistics.entropy(heads),
      "updates": heads_lib.updates(params),
      "distances": {
        "datasets": found.seen_names,
        "values": away,
        **_within_and_across(
          away, [found.table[name].family for name in found.seen_names]
        ),
      },
    }
  )


def _within_and_across(
  away: at.Float[np.ndarray, "n n"], families: list[str]
) -> dict[str, float]:
  """Mean distance of two datasets of one family, and of two; NaN: no pair."""
  pairs: dict[str, list[float]] = {"within_families": [], "across_families": []}
  for i, j in itertools.combinations(range(len(away)), 2):
    alike = families[i] == families[j]
    pairs["within_families" if alike else "across_families"].append(away[i, j])
  return {
    name: float(np.mean(own)) if own else float("nan")
    for name, own in pairs.items()
  }


def _plain(value):
  """JSON values: lists for arrays, None for NaN."""
  if isinstance(value, dict):
    return {name: _plain(part) for name, part in value.items()}
  if isinstance(value, np.ndarray):
    value = value.tolist()
  if isinstance(value, list | tuple):
    return [_plain(part) for part in value]
  if isinstance(value, float):
    return None if np.isnan(value) else round(value, 6)
  return value


def figures(found: routing.Found, params: at.Tree) -> dict[str, figure.Figure]:
  """All pictures, by name."""
  drawn = {}
  for tower, paths in gates.towers(found.statistics).items():
    name = tower.replace(" ", "_")
    drawn[f"datasets_{name}"] = _by_group(found, tower, paths, found.seen)
    kinds = [len(found.table) + kind for kind in range(len(_KINDS))]
    read = sum(gates.by_layer(found.statistics.sums[p]).sum(0) for p in paths)
    kinds = [k for k in kinds if read[k].any()]
    drawn[f"kinds_{name}"] = _by_group(found, tower, paths, kinds)
    drawn[f"entropy_{name}"] = _entropy(found, tower, paths)
  drawn["heads"] = _likeness(params)
  drawn["distances"] = _distances(found)
  points, explained = embed(found.samples)
  drawn["samples"] = router_plots.embedding(
    points, [found.table[name].family for name in found.sample_tasks], explained
  )
  return drawn


def _by_group(
  found: routing.Found, tower: str, paths: list[str], groups: list[int]
) -> figure.Figure:
  """Mean gates of groups of tokens, by projection and group of layers."""
  means = found.statistics.gates(found.heads)
  # [L, P, groups, E]
  own = np.stack([gates.by_layer(means[path]) for path in paths], 1)[
    :, :, groups
  ]
  parts = np.array_split(np.arange(len(own)), min(len(own), _PANELS))
  return router_plots.gate_panels(
    np.stack([own[part].mean(0) for part in parts]),
    [[*found.table, *_KINDS][group] for group in groups],
    [path.rpartition("/")[2] for path in paths],
    [_layers(part) for part in parts],
    f"mean gates: {tower}, heads 1 to {found.heads} of every projection",
  )


def _layers(numbers: np.ndarray) -> str:
  first, last = int(numbers[0]), int(numbers[-1])
  return f"layer {first}" if first == last else f"layers {first} to {last}"


def _entropy(
  found: routing.Found, tower: str, paths: list[str]
) -> figure.Figure:
  """Mean entropy over all datasets: layers by projections."""
  columns = []
  for path in paths:
    sums = gates.by_layer(found.statistics.sums[path])[
      :, : len(found.table)
    ].sum(1)
    tokens = np.maximum(router_statistics.token_count(sums, found.heads), 1)
    entropy = router_sums.Columns(found.heads).entropy
    columns.append(sums[:, entropy] / tokens)
  layers = [f"layer {i}" for i in range(len(columns[0]))]
  names = [path.rpartition("/")[2] for path in paths]
  return router_plots.grid(
    np.stack(columns, 1), layers, names, f"entropy of the gates: {tower}"
  )


def _likeness(params: at.Tree) -> figure.Figure:
  """Cosine between two heads, mean over pairs: towers' layers by projection."""
  found = heads_lib.up_projections(params)
  names = sorted({path.rpartition("/")[2] for path in found})
  rows: dict[str, dict[str, float]] = {}
  for path, b in found.items():
    upper = np.triu_indices(b.shape[1], 1)
    tower = network.label(path)
    cosines = heads_lib.cosines(b)[:, upper[0], upper[1]].mean(1)
    for layer, value in enumerate(cosines):
      row = rows.setdefault(f"{tower}, layer {layer}", {})
      row[path.rpartition("/")[2]] = float(value)
  values = [[row.get(name, np.nan) for name in names] for row in rows.values()]
  return router_plots.grid(
    np.array(values), list(rows), names, "cosine between heads"
  )


def _distances(found: routing.Found) -> figure.Figure:
  points = gates.vectors(found.statistics, found.heads, len(found.table))
  names = found.seen_names
  values = gates.distances(points[found.seen], found.heads)
  return router_plots.grid(
    values, names, names, "distance of datasets by their gates"
  )


def to_markdown(content: dict, drawn: list[str]) -> str:
  """The content of router.md."""
  lines = [
    "# Routers",
    "",
    f"{content['samples']} samples, {content['heads']} heads. Entropy and"
    " distance: 1 is the most there can be. A dead head has less than"
    f" {gates.DEAD:.0%} of an equal load. largest: quantiles of the tokens' largest"
    " gate; update: norm of A times a head's B.",
    "",
  ]
  for title in ("towers", "weights"):
    table = content[title]
    names = list(next(iter(table.values())))
    lines += ["| tower | " + " | ".join(names) + " |"]
    lines += ["|---|" + "---:|" * len(names)]
    for tower, row in table.items():
      cells = ("–" if row[n] is None else f"{row[n]:.3f}" for n in names)
      lines.append(f"| {tower} | " + " | ".join(cells) + " |")
    lines.append("")
  away = content["distances"]
  for name in ("within_families", "across_families"):
    if away[name] is not None:
      said = name.replace("_", " ")
      lines.append(f"Mean distance of datasets {said}: {away[name]:.3f}.")
  dead = ", ".join(content["dead_towers"]) or "none"
  lines.append(f"Towers whose heads are all zeros: {dead}.")
  for name in drawn:
    lines += ["", f"![{name}]({_PLOTS}/{name}.png)"]
  return "\n".join(lines) + "\n"
