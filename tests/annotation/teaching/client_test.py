"""Requests to an endpoint: waits, failures in a row, pace."""

import pytest

from crab_jax import errors
from crab_jax.annotation.teaching import client
from tests.annotation import stub_teacher

_BODY = {"messages": [{"role": "user", "content": "x"}]}


def _client(url, waits, **settings):
  return client.Client(
    client.Endpoint(url, "stub", **settings), sleep=waits.append
  )


def test_retry_after_is_obeyed_and_else_the_wait_grows():
  waits = []
  with stub_teacher.Stub(lambda n, _: "broken" if n < 5 else "") as stub:
    assert _client(stub.url, waits).ask(_BODY, 1).tokens == (1000, 100)
  assert all(b > a / 2 for a, b in zip(waits, waits[1:], strict=False))
  assert 8 <= waits[-1] <= 16
  waits.clear()
  with stub_teacher.Stub(lambda n, _: "429" if n == 0 else "") as stub:
    _client(stub.url, waits).ask(_BODY, 1)
  assert waits == [0.0]


def test_twenty_failures_in_a_row_end_it_and_the_last_is_named():
  with stub_teacher.Stub(lambda *_: "500") as stub:
    asks = _client(stub.url, [])
    for _ in range(3):
      with pytest.raises(client.Unanswered, match="500: wait"):
        asks.ask(_BODY, 1)
    with pytest.raises(
      errors.UserError, match="20 requests in a row.*500: wait"
    ):
      asks.ask(_BODY, 1)


def test_a_slow_reply_is_a_failure():
  with stub_teacher.Stub(lambda *_: "slow") as stub:
    asks = _client(stub.url, [], timeout=0.1, attempts=2)
    with pytest.raises(client.Unanswered, match=r"no reply in 0.1 s"):
      asks.ask(_BODY, 1)


def test_nobody_there():
  asks = _client("http://127.0.0.1:9/v1", [], attempts=1)
  with pytest.raises(client.Unanswered, match="Connect"):
    asks.ask(_BODY, 1)


def test_the_pace_is_kept(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(client.time, "monotonic", lambda: now[0])
  with stub_teacher.Stub() as stub:
    endpoint = client.Endpoint(stub.url, "stub", per_minute=2)
    asks = client.Client(
      endpoint, sleep=lambda wait: now.__setitem__(0, now[0] + wait)
    )
    for _ in range(5):
      asks.ask(_BODY, 1)
    assert now[0] == pytest.approx(120)
    paced = client.Client(
      client.Endpoint(stub.url, "stub", tokens_per_minute=100),
      sleep=lambda wait: now.__setitem__(0, now[0] + wait),
    )
    begun = now[0]
    for _ in range(4):
      paced.ask(_BODY, 50)
    assert now[0] - begun == pytest.approx(60)


@pytest.mark.parametrize(
  "tree",
  [{}, [], {"choices": []}, {"choices": [{"message": 3}]}, {"choices": 3}],
)
def test_what_is_no_completion(tree):
  with pytest.raises((LookupError, TypeError, AttributeError)):
    client.of_tree(tree)


def test_a_refusal_is_a_reply():
  tree = {"choices": [{"message": {"content": None, "refusal": "no"}}]}
  assert client.of_tree(tree) == client.Reply("", refused=True)
