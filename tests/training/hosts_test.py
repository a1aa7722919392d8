"""One host agrees with itself; what differs is named. Two: survival_test."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.training import hosts


def test_one_host_waits_for_nobody():
  assert (hosts.count(), hosts.index(), hosts.is_first()) == (1, 0, True)
  assert hosts.exchange("name", "value") == ["value"]
  hosts.compare("name", {"fact": "value"})
  hosts.barrier("name")
  with hosts.first_then_others("name"):
    pass
  assert [hosts.Agreement().ask(flag) for flag in (False, True)] == [0, 1]


def _differ(monkeypatch, other, **facts):
  monkeypatch.setattr(
    hosts, "exchange", lambda name, value, _: [value, json.dumps(other)]
  )
  monkeypatch.setattr(jax.distributed, "shutdown", lambda: None)
  with pytest.raises(errors.UserError) as caught:
    hosts.compare("start", facts)
  return str(caught.value)


def test_the_line_that_differs_is_named(monkeypatch):
  text = _differ(
    monkeypatch, {"settings": "a = 1\nb = 3\n"}, settings="a = 1\nb = 2\n"
  )
  assert "host 1 differs from host 0 in the settings" in text
  assert "'b = 3' there, 'b = 2' on host 0" in text


def test_a_line_that_is_missing_is_named(monkeypatch):
  theirs, ours = "a = 1\nc = 3", "a = 1\nb = 2\nc = 3"
  text = _differ(monkeypatch, {"data": theirs}, data=ours)
  assert "'nothing' there, 'b = 2' on host 0" in text


def test_a_fact_that_is_missing_is_named(monkeypatch):
  text = _differ(monkeypatch, {}, version="1.0")
  assert "in the version: '' there, '1.0' on host 0" in text


def test_an_array_of_this_host_is_whole_already():
  found = hosts.gathered(jnp.arange(4))
  assert isinstance(found, np.ndarray)
  np.testing.assert_array_equal(found, [0, 1, 2, 3])


@pytest.mark.parametrize(
  "spec", [(), ("a",), (None, "a"), ("b", "a"), ("a", "b")]
)
def test_a_few_values_of_an_array_that_is_split(spec):
  mesh = jax.make_mesh((4, 2), ("a", "b"), (jax.sharding.AxisType.Auto,) * 2)
  sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
  rng = np.random.default_rng(0)
  whole = {
    "kernel": rng.standard_normal((8, 12)).astype(jnp.bfloat16),
    "minus": -np.zeros((4, 4, 3), np.float32),
    "int8": rng.integers(-128, 128, (8, 8)).astype(np.int8),
  }
  places = {
    name: rng.permutation(leaf.size)[:7] for name, leaf in whole.items()
  }
  split = {name: jax.device_put(x, sharding) for name, x in whole.items()}
  split["numpy"], places["numpy"] = whole["kernel"], places["kernel"]
  found = hosts.values_at(split, places)
  for name, where in places.items():
    leaf = whole.get(name, whole["kernel"])
    expected = leaf.reshape(-1)[where].astype(np.float32)
    # Their bits: a fingerprint tells -0 from 0.
    assert found[name].tobytes() == expected.tobytes()


def test_hosts_that_nothing_tells_of_are_an_error(monkeypatch):
  def nobody(**_):
    raise ValueError("coordinator_address should be defined.")

  monkeypatch.setattr(jax.distributed, "initialize", nobody)
  with pytest.raises(errors.UserError, match="JAX_COORDINATOR_ADDRESS"):
    hosts.join(configs.Hosts())


def test_how_long_hosts_wait_is_a_setting(monkeypatch):
  seen = {}
  monkeypatch.setattr(
    jax.distributed, "initialize", lambda **given: seen.update(given)
  )
  hosts.join(configs.Hosts(start=7, heartbeat=8))
  assert seen["initialization_timeout"] == 7
  assert seen["heartbeat_timeout_seconds"] == 8
  with pytest.raises(ValueError, match="Hosts.start=0"):
    configs.Hosts(start=0)
