"""Keys, requests a minute, requests at a time."""

import pytest

from crab_jax import errors
from crab_jax.serving import failures
from crab_jax.serving import keys


def test_only_a_key_of_the_file_is_valid(tmp_path):
  path = tmp_path / "keys"
  path.write_text("# mine\nfirst\n\nsecond\n")
  found = keys.Keys(keys.read(path), 10, 10)
  owners = {found.owner(f"Bearer {key}") for key in ("first", "second")}
  assert len(owners) == 2 and not owners & {"first", "second"}
  for wrong in (None, "", "first", "Bearer", "Bearer third", "Basic first"):
    with pytest.raises(failures.Failure) as failure:
      found.owner(wrong)
    assert failure.value.status == 401
    assert failure.value.body()["error"]["type"] == "authentication_error"


def test_without_keys_everyone_is_one():
  found = keys.Keys((), 10, 10)
  assert not found.needed and found.owner(None) == keys.LOCAL


def test_a_file_without_a_key_is_an_error(tmp_path):
  (tmp_path / "keys").write_text("# none\n")
  for name in ("keys", "nosuch"):
    with pytest.raises(errors.UserError, match="--api_keys_file"):
      keys.read(tmp_path / name)


def test_a_minute_has_so_many_requests():
  now = [0.0]
  found = keys.Keys((), 3, 10, lambda: now[0])
  for _ in range(3):
    found.charge("a")
  with pytest.raises(failures.Failure, match="rate limit") as failure:
    found.charge("a")
  assert failure.value.status == 429 and failure.value.retry_seconds == 20
  found.charge("b")
  now[0] = 20.0
  found.charge("a")


def test_so_many_run_at_a_time():
  found = keys.Keys((), 10, 1)
  with found.running("a"), found.running("b"):
    full = pytest.raises(failures.Failure, match="rate limit")
    with full, found.running("a"):
      pass
  with found.running("a"):
    pass
