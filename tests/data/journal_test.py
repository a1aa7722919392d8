import pytest

from crab_jax.data import journal
from crab_jax.data import tfrecord
from tests.data import clips

_HEADER = {"fingerprint": "f", "settings": {}}
_ROWS = [{"n": n} for n in range(4)]


def _shard(**changes):
  fields = {
    "task": "ave",
    "split": "train",
    "number": 0,
    "total": 1,
    "first_row": 100,
    "rows": _ROWS,
  }
  return journal.Shard(**{**fields, **changes})


def _write(out, rows, header=_HEADER, finish=False):
  """Writes rows from where the shard is; row 1 has no record."""
  shard = _shard()
  with journal.Writer(shard, out, header) as writer:
    done = writer.done
    for n in range(done, rows):
      writer.add({"id": n}, None if n == 1 else b"item %d" % n)
    if finish:
      writer.finish()
  return done


def _items(out):
  return list(tfrecord.read(_shard().data_path(out)))


def _part(out):
  path = _shard().data_path(out)
  return path.with_name(path.name + ".part")


def test_a_finished_shard_is_complete(tmp_path):
  _write(tmp_path, 4, finish=True)
  assert journal.is_complete(_shard(), tmp_path, _HEADER)
  assert _items(tmp_path) == [b"item 0", b"item 2", b"item 3"]
  header, lines = journal.read(_shard().path(tmp_path))
  assert header == _HEADER
  assert [line["id"] for line in lines] == [0, 1, 2, 3]
  assert lines[0]["end"] == lines[1]["end"] < lines[2]["end"]
  assert not list(tmp_path.rglob("*.part"))


def test_an_unfinished_shard_is_not(tmp_path):
  _write(tmp_path, 3)
  assert not journal.is_complete(_shard(), tmp_path, _HEADER)
  assert not _shard().data_path(tmp_path).exists()
  assert journal.next_row(_shard(), tmp_path) == 103
  assert journal.next_row(_shard(split="val"), tmp_path) is None


@pytest.mark.parametrize("stop", range(5))
def test_it_goes_on_where_it_was(tmp_path, stop):
  _write(tmp_path / "once", 4, finish=True)
  _write(tmp_path / "twice", stop)
  assert _write(tmp_path / "twice", 4, finish=True) == stop
  for path in (_shard().data_path, _shard().path):
    once, twice = path(tmp_path / "once"), path(tmp_path / "twice")
    assert once.read_bytes() == twice.read_bytes()


def test_what_was_half_written_is_written_again(tmp_path):
  _write(tmp_path, 3)
  clips.cut_short(_part(tmp_path), 0.9)  # the last record lost its end
  assert _write(tmp_path, 4, finish=True) == 2
  assert _items(tmp_path) == [b"item 0", b"item 2", b"item 3"]


def test_a_half_written_line_is_written_again(tmp_path):
  _write(tmp_path, 3)
  path = _shard().path(tmp_path)
  path = path.with_name(path.name + ".part")
  path.write_bytes(path.read_bytes()[:-5])
  assert _write(tmp_path, 4, finish=True) == 2
  assert _items(tmp_path) == [b"item 0", b"item 2", b"item 3"]


def test_another_fingerprint_begins_anew(tmp_path):
  other = {**_HEADER, "fingerprint": "g"}
  _write(tmp_path, 3)
  assert _write(tmp_path, 4, other, finish=True) == 0
  assert not journal.is_complete(_shard(), tmp_path, _HEADER)
  assert _write(tmp_path, 4, _HEADER, finish=True) == 0
  assert journal.is_complete(_shard(), tmp_path, _HEADER)


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_a_shard_whose_data_are_gone_is_not_complete(tmp_path, damage):
  _write(tmp_path, 4, finish=True)
  path = _shard().data_path(tmp_path)
  if damage == "missing":
    path.unlink()
  else:
    clips.cut_short(path)
  assert not journal.is_complete(_shard(), tmp_path, _HEADER)


def test_a_shard_written_at_once_is_the_same(tmp_path):
  _write(tmp_path / "grown", 4, finish=True)
  _write(tmp_path / "once", 3)
  rows = [({"id": n}, None if n == 1 else b"item %d" % n) for n in range(4)]
  journal.write(_shard(), tmp_path / "once", _HEADER, rows)
  for path in (_shard().data_path, _shard().path):
    grown, once = path(tmp_path / "grown"), path(tmp_path / "once")
    found = {file.name: file.read_bytes() for file in once.parent.iterdir()}
    assert once.name in found
    assert found == {
      file.name: file.read_bytes() for file in grown.parent.iterdir()
    }
    assert not any(name.endswith(".part") for name in found)


def test_finished_shards_are_found_in_order(tmp_path):
  for split, number in (("test", 0), ("train", 1), ("train", 0)):
    shard = _shard(split=split, number=number, total=2, rows=[])
    with journal.Writer(shard, tmp_path, _HEADER) as writer:
      writer.finish()
  found = journal.find(tmp_path, "ave")
  assert [(s.split, s.number) for s in found] == [
    ("train", 0),
    ("train", 1),
    ("test", 0),
  ]
  assert found[1].path(tmp_path).is_file()
