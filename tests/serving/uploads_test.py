"""Files of clients: whose they are, how long, and that none stays behind."""

import asyncio

import pytest

from crab_jax import configs
from crab_jax.serving import failures
from crab_jax.serving import uploads

_LIMITS = configs.Serving(file_bytes=10, file_seconds=60.0)


@pytest.fixture
def store(tmp_path):
  now = [0.0]
  found = uploads.Store(tmp_path / "media", _LIMITS, lambda: now[0])
  found.now = now
  return found


def _names(store, tmp_path):
  return sorted(path.name for path in (tmp_path / "media").iterdir())


def test_equal_content_lies_there_once_while_it_is_held(store, tmp_path):
  first, second = store.put(b"one"), store.put(b"one")
  assert first == second and first.path.read_bytes() == b"one"
  store.release(first)
  assert _names(store, tmp_path) == [first.path.name]
  store.release(second)
  assert _names(store, tmp_path) == []


def test_a_stream_is_the_same_file(store, tmp_path):
  async def pieces():
    yield b"o"
    yield b"ne"

  async def cut():
    yield b"o"
    raise OSError("gone")

  blob = asyncio.run(store.put_stream(pieces()))
  assert blob == store.put(b"one")
  with pytest.raises(OSError, match="gone"):
    asyncio.run(store.put_stream(cut()))
  assert _names(store, tmp_path) == [blob.path.name]


def test_a_file_is_its_owners_until_its_time_is_over(store, tmp_path):
  upload = store.add(store.put(b"one"), "a", "../x", "user_data")
  assert store.get(upload.id, "a") == upload and store.all("b") == []
  for name, owner in ((upload.id, "b"), ("file-nosuch", "a")):
    with pytest.raises(failures.Failure) as failure:
      store.get(name, owner)
    assert failure.value.status == 404
  store.now[0] = 60.0
  assert store.all("a") == [] and _names(store, tmp_path) == []


def test_there_is_room_for_so_much(store, tmp_path):
  store.add(store.put(b"12345678"), "a", "x", "user_data")
  with pytest.raises(failures.Failure) as failure:
    store.add(store.put(b"123"), "a", "y", "user_data")
  assert failure.value.status == 413 and len(_names(store, tmp_path)) == 1


def test_what_a_killed_server_left_is_removed(tmp_path):
  (tmp_path / "media").mkdir()
  (tmp_path / "media" / "old").write_bytes(b"x")
  store = uploads.Store(tmp_path / "media", _LIMITS)
  assert _names(store, tmp_path) == []
  store.close()
  assert not (tmp_path / "media").exists()
