"""Who writes the shards of a preparation, by name."""

from collections.abc import Iterable

from crab_jax import errors
from crab_jax.data import preparation
from crab_jax.data import preparation_local

LOCAL = "local"  # processes of this machine


def by_name(name: str, options: Iterable[str]) -> preparation.Runner:
  """A runner for `preparation.prepare`.

  Args:
    name: `LOCAL`; "beam" for Apache Beam on this machine; or a runner of Beam
      by its class name.
    options: of Beam's pipeline, such as "project=x".

  Raises:
    UserError: Apache Beam is not installed.
  """
  if name == LOCAL:
    return preparation_local.run
  try:
    # An extra, which `LOCAL` must not need.
    from crab_jax.data import preparation_beam
  except ImportError as error:
    raise errors.UserError(
      f"--runner={name} needs Apache Beam: pip install 'crab_jax[beam]'"
      f" ({error})"
    ) from error
  return preparation_beam.runner(name, options)
