"""One host agrees with itself; what differs is named. Two: survival_test."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
    hosts, "exchange", lambda name, value: [value, json.dumps(other)]
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


def test_an_array_is_gathered_when_it_is_asked_for():
  leaf = hosts.Gathered(jnp.arange(4))
  assert leaf.size == 4
  np.testing.assert_array_equal(np.asarray(leaf), [0, 1, 2, 3])


def test_hosts_that_nothing_tells_of_are_an_error(monkeypatch):
  def nobody(**_):
    raise ValueError("coordinator_address should be defined.")

  monkeypatch.setattr(jax.distributed, "initialize", nobody)
  with pytest.raises(errors.UserError, match="JAX_COORDINATOR_ADDRESS"):
    hosts.join()
