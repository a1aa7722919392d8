"""How alike an adapter's heads have become, and which of them do nothing.

Reads the weights alone. Heads start equal (zero) and differ only through
the router; a tower whose heads are all zero never trained.
"""

import jax
import jax.numpy as jnp
import numpy as np

from crab_jax import array_types as at
from crab_jax.models import ilora
from crab_jax.paradigms import network
from crab_jax.routers import statistics as router_statistics


def up_projections(params: at.Tree) -> dict[str, np.ndarray]:
  """Projection path -> its heads B, float32[L, E, R, F]."""
  found = {}
  for path, projection in ilora.projections(params).items():
    b = np.asarray(projection.b, np.float32)
    found[path] = b if b.ndim == 4 else b[None]  # not stacked: one layer
  return found


def cosines(
  b: at.Float[np.ndarray, "L E R F"],
) -> at.Float[np.ndarray, "L E E"]:
  """Cosine between the heads of each layer, 0 with a head of zeros."""
  return _cosines(np.einsum("LERF,LGRF->LEG", b, b))


def _cosines(gram: at.Float[np.ndarray, "L E E"]) -> np.ndarray:
  """Cosines out of the inner products of heads, 0 with a head of zeros."""
  # The diagonal: a head's product with itself.
  norms = np.sqrt(np.einsum("LEE->LE", gram))
  sizes = norms[:, :, None] * norms[:, None]
  return gram / np.where(sizes > 0, sizes, 1)


@jax.jit
def _grams(params):
  """Projection path -> inner products of the heads, float32[.., E, E]."""
  return {
    path: jnp.einsum(
      "...ERF,...GRF->...EG", *2 * (projection.b.astype(jnp.float32),)
    )
    for path, projection in ilora.projections(params).items()
  }


def while_training(params: at.Tree) -> dict[str, dict[str, float]]:
  """Tower -> "cosine" and "zero" of `summary`, computed where the weights lie.

  Nothing as large as a weight comes to the host.
  """
  parts: dict[str, list[np.ndarray]] = {}
  for path, gram in _grams(params).items():
    gram = router_statistics.on_host(gram)
    gram = gram.reshape(-1, *gram.shape[-2:])  # [L, E, E]
    parts.setdefault(network.label(path), []).append(gram)
  return {tower: _of_grams(np.concatenate(p)) for tower, p in parts.items()}


def _of_grams(gram: at.Float[np.ndarray, "L E E"]) -> dict[str, float]:
  upper = np.triu_indices(gram.shape[-1], 1)  # every pair of heads once
  return {
    "cosine": float(_cosines(gram)[:, upper[0], upper[1]].mean()),
    "zero": float((np.einsum("LEE->LE", gram) == 0).mean()),
  }


def mean_angle(
  one: at.Float[np.ndarray, "R F"], two: at.Float[np.ndarray, "R F"]
) -> float:
  """Mean principal angle between the row spaces of two heads, degrees.

  NaN if one of them is zero. Directions weaker than a thousandth of the
  strongest are left out.

  Reference: Bjorck and Golub, "Numerical methods for computing angles between
  linear subspaces", 1973.
  """
  bases = []
  for head in (one, two):
    _, strength, rows = np.linalg.svd(head, full_matrices=False)
    if not strength[0]:
      return float("nan")
    # Weaker directions are noise: their angles would hide those of the rest.
    bases.append(rows[strength > 1e-3 * strength[0]])
  cosine = np.linalg.svd(bases[0] @ bases[1].T, compute_uv=False)
  # Rounding may give 1 + 1e-7, of which arccos is NaN.
  return float(np.degrees(np.arccos(np.clip(cosine, 0, 1))).mean())


def updates(
  params: at.Tree,
) -> dict[str, at.Float[np.ndarray, "L E"]]:
  """Projection path -> Frobenius norm of A B_e, what a gate of 1 would add.

  Without the adapter's scale. A is one for all heads or one a head.
  """
  projections = ilora.projections(params)
  found = {}
  for path, b in up_projections(params).items():
    a = np.asarray(projections[path].a, np.float32)
    a = a.reshape(len(b), -1, *a.shape[-2:])  # [L, 1 or E, D, R]
    # ||A B||^2 = sum(B * (A^T A B)): [R, R] in place of the [D, F] product.
    gram = np.swapaxes(a, -1, -2) @ a
    found[path] = np.sqrt(np.maximum((b * (gram @ b)).sum((-2, -1)), 0))
  return found


def summary(params: at.Tree) -> dict[str, dict[str, float]]:
  """Tower -> numbers of its heads, means over projections, layers and pairs.

  Returns:
    cosine and angle (degrees) between two heads (NaN with one head), zero:
    share of heads that are all zeros, norm: of a head's B, update: of `updates`.
  """
  parts: dict[str, dict[str, list]] = {}
  added = updates(params)
  for path, b in up_projections(params).items():
    tower = parts.setdefault(
      network.label(path),
      {"cosine": [], "angle": [], "zero": [], "norm": [], "update": []},
    )
    upper = np.triu_indices(b.shape[1], 1)
    tower["cosine"] += list(cosines(b)[:, upper[0], upper[1]].ravel())
    tower["angle"] += [
      mean_angle(layer[i], layer[j])
      for layer in b
      for i, j in zip(*upper, strict=True)
    ]
    norms = np.linalg.norm(b.reshape(*b.shape[:2], -1), axis=-1)
    tower["zero"] += list((norms == 0).ravel())
    tower["norm"] += list(norms.ravel())
    tower["update"] += list(added[path].ravel())
  return {
    tower: {name: _mean(values) for name, values in numbers.items()}
    for tower, numbers in parts.items()
  }


def _mean(values: list) -> float:
  known = [float(v) for v in values if not np.isnan(v)]
  return float(np.mean(known)) if known else float("nan")


def dead_towers(params: at.Tree) -> list[str]:
  """Towers whose heads are all zeros: the adapter does nothing there."""
  return [t for t, numbers in summary(params).items() if numbers["zero"] == 1]
