"""The hosts of a run: finding each other, agreeing, taking turns.

Hosts talk through the key-value store of `jax.distributed`, which works before
any device is touched and whatever the devices are: so hosts that differ can
say so, where a collective would hang. With one host nothing is sent.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from collections.abc import Mapping

import jax
import numpy as np

# jax has no public name for the store; orbax and flax reach it in this way.
from jax._src import distributed
from jax.experimental import multihost_utils

from crab_jax import configs
from crab_jax import errors

# Seconds until a host that says nothing is reported, where no settings say it.
PATIENCE = 300
_TURN = 24 * 3600  # preparing AV-UIE v2 may take the first host hours
_SHOWN = 200  # characters of a differing value


def join(settings: configs.Hosts) -> None:
  """Finds the other hosts; call it before anything touches a device.

  On Cloud TPU, GKE and Slurm jax knows where they are. Elsewhere three
  variables say it: JAX_COORDINATOR_ADDRESS (host:port of the first),
  JAX_NUM_PROCESSES and JAX_PROCESS_ID.

  Raises:
    UserError: they cannot be found, or did not all come in time.
  """
  count, own = (
    os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
  )
  try:
    jax.distributed.initialize(
      num_processes=int(count) if count else None,
      process_id=int(own) if own else None,
      initialization_timeout=settings.start,
      heartbeat_timeout_seconds=settings.heartbeat,
    )
  except (ValueError, RuntimeError) as error:
    raise errors.UserError(
      f"--distributed: the hosts do not find each other: {error}; outside of"
      " a TPU slice set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and"
      " JAX_PROCESS_ID; where they start slowly, Hosts.start (seconds)"
    ) from error


def count() -> int:
  """How many hosts; touches no device."""
  return distributed.global_state.num_processes


def index() -> int:
  """The number of this host, from 0."""
  return distributed.global_state.process_id


def is_first() -> bool:
  """True on the host that writes what one host must write."""
  return index() == 0


def exchange(name: str, value: str, seconds: int = PATIENCE) -> list[str]:
  """The values that all hosts give under a name, in their order.

  Args:
    name: of this exchange; once in a run.
    value: of this host.
    seconds: how long to wait for each of the others.

  Raises:
    UserError: a host gave none in time; names it.
  """
  if count() == 1:
    return [value]
  client = _client()
  # The store refuses to set a key twice: hence a name once in a run.
  client.key_value_set(f"crab_jax/{name}/{index()}", value)
  found = []
  for host in range(count()):
    try:
      key = f"crab_jax/{name}/{host}"
      # Milliseconds.
      found.append(client.blocking_key_value_get(key, int(seconds * 1000)))
    except jax.errors.JaxRuntimeError as error:
      raise errors.UserError(
        f"host {host} of {count()} did not come to {name!r} within"
        f" {seconds:g} s; see its log"
      ) from error
  return found


def _difference(one: str, other: str) -> tuple[str, str]:
  """The first lines that differ; all, if there is but one."""
  ours, theirs = one.splitlines(), other.splitlines()
  if max(len(ours), len(theirs)) <= 1:
    return one[:_SHOWN], other[:_SHOWN]
  for line in sorted(set(ours) ^ set(theirs)):
    name = line.partition("=")[0]
    pair = [
      next((x for x in lines if x.partition("=")[0] == name), "nothing")
      for lines in (ours, theirs)
    ]
    return pair[0][:_SHOWN], pair[1][:_SHOWN]
  return one[:_SHOWN], other[:_SHOWN]


def compare(
  name: str, facts: Mapping[str, str], seconds: int = PATIENCE
) -> None:
  """Makes sure that all hosts hold the same facts; all of them must call it.

  Args:
    name: of this comparison; once in a run.
    facts: what it is -> its value, lines `key = value` where it is long.
    seconds: how long to wait for each of the others.

  Raises:
    UserError: two hosts differ; names the host, the fact and both values.
  """
  said = exchange(name, json.dumps(dict(facts)), seconds)
  found = [json.loads(text) for text in said]
  for host, theirs in enumerate(found):
    for fact in sorted(found[0].keys() | theirs.keys()):
      first, other = found[0].get(fact, ""), theirs.get(fact, "")
      if first != other:
        expected, got = _difference(first, other)
        # All hosts come here. Together, as a host dies with the first one.
        jax.distributed.shutdown()
        raise errors.UserError(
          f"host {host} differs from host 0 in the {fact}: {got!r} there,"
          f" {expected!r} on host 0; start all hosts with the same command on"
          " the same files"
        )


@contextlib.contextmanager
def first_then_others(name: str) -> Iterator[None]:
  """The first host runs the block; the others run it when it has.

  What the first wrote into a folder that they share, the others find complete.

  Args:
    name: of the block; once in a run.
  """
  if not is_first():
    _wait(name)
  yield
  # Not in a `finally`: where the first fails, the others must not go on.
  if is_first() and count() > 1:
    _client().key_value_set(f"crab_jax/{name}", "done")


def _client():
  """The client of the key-value store; there is one after `join`."""
  client = distributed.global_state.client
  assert client is not None  # more than one host: they have joined
  return client


def _wait(name: str) -> None:
  try:
    _client().blocking_key_value_get(f"crab_jax/{name}", _TURN * 1000)
  except jax.errors.JaxRuntimeError as error:
    raise errors.UserError(
      f"the first host did not finish {name!r}; see its log"
    ) from error


def barrier(name: str, seconds: float = _TURN) -> None:
  """Returns when all hosts have come.

  Args:
    name: of this meeting; once in a run.
    seconds: how long to wait.

  Raises:
    UserError: a host did not come in time.
  """
  if count() == 1:
    return
  try:
    _client().wait_at_barrier(f"crab_jax/{name}", int(seconds * 1000))
  except jax.errors.JaxRuntimeError as error:
    raise errors.UserError(
      f"not all hosts came to {name!r} within {seconds:g} s: {error}"
    ) from error


def gathered(leaf: jax.Array | np.ndarray) -> np.ndarray:
  """The whole of an array of any sharding.

  Over several hosts all must ask for the same ones in the same order.
  """
  if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
    # Of an array that is split over hosts jax gathers only with `tiled`.
    leaf = multihost_utils.process_allgather(leaf, tiled=True)
  return np.asarray(leaf)


def values_at(
  leaves: Mapping[str, jax.Array | np.ndarray],
  places: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """A few values of arrays of any sharding; no host sees more than its parts.

  Over several hosts all must ask for the same.

  Args:
    leaves: arrays by name.
    places: int64[N] in each flattened array, by name.

  Returns:
    float32[N] by name, the same on every host.
  """
  names = list(places)
  found = [_own_values(leaves[name], places[name]) for name in names]
  # As bits: a sum of them is what the one host that has a value put in.
  bits = np.concatenate([values.view(np.uint32) for values in found])
  if count() > 1:
    bits = multihost_utils.process_allgather(bits).sum(0, np.uint32)
  ends = np.cumsum([len(values) for values in found])
  parts = np.split(bits.view(np.float32), ends[:-1])
  return dict(zip(names, parts, strict=True))


def _own_values(leaf: jax.Array | np.ndarray, places: np.ndarray) -> np.ndarray:
  """float32[N]: the values of which this host has the first copy, else 0."""
  if not isinstance(leaf, jax.Array):  # every host has all of it
    values = np.asarray(leaf).reshape(-1)[places].astype(np.float32)
    return values if is_first() else np.zeros_like(values)
  values = np.zeros(len(places), np.float32)
  index = np.unravel_index(places, leaf.shape) if leaf.ndim else ()
  for shard in leaf.addressable_shards:
    if shard.replica_id:
      continue
    starts = [
      part.indices(size)[:2]
      for part, size in zip(shard.index, leaf.shape, strict=True)
    ]
    here = np.ones(len(places), bool)
    for where, (start, stop) in zip(index, starts, strict=True):
      here &= (where >= start) & (where < stop)
    if here.any():
      own = tuple(
        where[here] - start
        for where, (start, _) in zip(index, starts, strict=True)
      )
      values[here] = np.asarray(shard.data)[own].astype(np.float32)
  return values


class Agreement:
  """One yes or no for all hosts, at the same step on all of them.

  SIGTERM comes to one host alone, but a state that lies on all of them is saved
  by all together.
  """

  def __init__(self):
    self._pending = None
    if count() == 1:
      return
    mesh = jax.make_mesh(
      (jax.device_count(),),
      ("devices",),
      (jax.sharding.AxisType.Auto,),
    )
    spec = jax.sharding.PartitionSpec
    self._split = jax.sharding.NamedSharding(mesh, spec("devices"))
    whole = jax.sharding.NamedSharding(mesh, spec())
    self._any = jax.jit(lambda flags: flags.max(), out_shardings=whole)

  def ask(self, flag: bool) -> bool:
    """True if a host gave True one call ago; with one host, `flag` itself."""
    if count() == 1:
      return flag
    # The answer of the step before: to read this step's at once would make the
    # devices wait for this host.
    before, local = self._pending, jax.local_device_count()
    flags = jax.make_array_from_process_local_data(
      self._split, np.full(local, flag, np.int32)
    )
    self._pending = self._any(flags)
    # The result is whole on every device: this host reads its own copy.
    return before is not None and bool(before.addressable_data(0))
