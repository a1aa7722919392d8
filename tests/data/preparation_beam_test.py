"""Apache Beam gives the records of the process pool, byte for byte."""

import json

import pytest

from tests.data import clips

pytest.importorskip("apache_beam", reason="the extra `beam` is not installed")

from crab_jax import configs  # noqa: E402
from crab_jax import errors  # noqa: E402
from crab_jax.data import preparation  # noqa: E402
from crab_jax.data import preparation_beam  # noqa: E402
from crab_jax.data import preparation_local  # noqa: E402
from crab_jax.data import records  # noqa: E402


@pytest.fixture
def source(tmp_path):
  source = tmp_path / "AVUIE_2"
  clips.write_emotion(source, "cremad", 40)
  clips.write_segmentation(source)
  clips.write_annotations(source, "ks", "test", [])
  (source / "s4/AVS/v1s/dog/frames/3.jpg").write_bytes(b"broken")
  return source


def _prepare(source, out, runner=None):
  config = configs.Preparation(
    frame_size=28,
    shard_records=36,
    workers=1,
    max_bad_share=0.1,
    max_bad_task_share=0.5,
  )
  runner = runner or preparation_beam.runner("beam", [])
  return preparation.prepare(source, out, None, config, runner)


def _files(out):
  return {
    str(path.relative_to(out)): path.read_bytes()
    for path in sorted(out.rglob("*"))
    if path.is_file()
  }


def test_beam_makes_the_same_files_as_the_pool(source, tmp_path):
  pool = _prepare(source, tmp_path / "pool", preparation_local.run)
  beam = _prepare(source, tmp_path / "beam")
  assert beam == pool
  assert beam["records"] == 42
  found = _files(tmp_path / "beam")
  assert found.keys() == _files(tmp_path / "pool").keys()
  assert found == _files(tmp_path / "pool")
  rows = [
    r.row for r in records.read_split(tmp_path / "beam", "cremad", "train")
  ]
  assert rows == list(range(40))


def test_finished_shards_are_not_made_again(source, tmp_path, monkeypatch):
  _prepare(source, tmp_path / "out")
  rows = json.loads((source / "cremad/train.json").read_text())
  rows[38]["label"] = "New."
  clips.write_annotations(source, "cremad", "train", rows)
  preparation_beam._rows.cache_clear()
  chunks = []
  find = preparation_beam._chunks
  monkeypatch.setattr(
    preparation_beam,
    "_chunks",
    lambda *args: chunks.extend(found := list(find(*args))) or found,
  )
  _prepare(source, tmp_path / "out")
  assert [(chunk.start, chunk.stop) for chunk in chunks] == [(36, 40)]
  found = list(records.read_split(tmp_path / "out", "cremad", "train"))
  assert found[38].target == "New."


def test_an_unknown_runner_is_an_error(source, tmp_path):
  runner = preparation_beam.runner("NoSuchRunner", [])
  with pytest.raises(errors.UserError, match="NoSuchRunner"):
    _prepare(source, tmp_path / "out", runner)
