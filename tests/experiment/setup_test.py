"""What hosts compare before they train, and what is said where they differ.

Two real processes that differ are in survival_test.
"""

import json

import jax
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tokenizer as tokenizers
from crab_jax.experiment import setup
from crab_jax.paradigms import front
from crab_jax.training import hosts
from tests.data import small_records

_TEXT = "Data.seed = 42\n"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
  """Prepared records of one dataset, and a tokenizer."""
  root = tmp_path_factory.mktemp("given")
  found = [small_records.record("meld", row) for row in range(2)]
  small_records.write(root / "records", found)
  (root / "records" / "summary.json").write_text("{}")
  tokenizers.train(["a text"], 300, front.of(configs.tiny()).grammar).save(
    root / "tokenizer.json"
  )
  return root


def _prepare(given, workdir, **settings):
  given = {
    "data": configs.Data(tokenizer=str(given / "tokenizer.json")),
    "records": str(given / "records"),
  }
  experiment = configs.Experiment(
    model=configs.tiny(),
    stages=[configs.Stage(name="s", steps=1, trains="all")],
    compiled="off",
    **(given | settings),
  )
  return setup.prepare(experiment, workdir, _TEXT)


def _other_host(monkeypatch, change):
  """A second host that says what the first says, but for `change`."""
  said = {}

  def exchange(name, value):
    said[name] = json.loads(value)
    theirs = {**said[name], **change.get(name, {})}
    return [value, json.dumps(theirs)]

  monkeypatch.setattr(hosts, "exchange", exchange)
  monkeypatch.setattr(jax.distributed, "shutdown", lambda: None)
  return said


def test_hosts_tell_each_other_all_that_must_agree(
  given, tmp_path, monkeypatch
):
  said = _other_host(monkeypatch, {})
  _prepare(given, tmp_path)
  assert said["start"]["number of hosts"] == "1"
  assert said["start"]["configuration"] == _TEXT
  assert {"version of jax", "version of crab_jax"} <= said["start"].keys()
  assert said["devices"]["number of devices"] == "8"
  (line,) = said["data"]["data manifest"].splitlines()
  assert "meld" in line and line.endswith(" bytes")


@pytest.mark.parametrize(
  ("meeting", "fact", "theirs"),
  [
    ("start", "number of hosts", "2"),
    ("start", "version of jax", "0.1"),
    ("start", "configuration", "Data.seed = 43\n"),
    ("devices", "number of devices", "4"),
    ("data", "data manifest", "meld/train = 7 bytes"),
  ],
)
def test_the_host_that_differs_is_named(
  meeting, fact, theirs, given, tmp_path, monkeypatch
):
  _other_host(monkeypatch, {meeting: {fact: theirs}})
  with pytest.raises(errors.UserError) as caught:
    _prepare(given, tmp_path)
  assert f"host 1 differs from host 0 in the {fact}" in str(caught.value)
  assert theirs.strip() in str(caught.value)


_WORLD = configs.World(
  train_samples=4, val_samples=4, test_samples=4, train_factors=None
)


def _files(folder):
  return {
    str(path): path.stat().st_mtime_ns
    for path in folder.rglob("*")
    if path.is_file()
  }


def test_only_the_first_host_makes_anything(given, tmp_path, monkeypatch):
  """The others come all at once."""
  own = {"records": None, "world": _WORLD, "data": configs.Data()}
  first = _prepare(given, tmp_path, **own)
  before = _files(tmp_path)
  monkeypatch.setattr(hosts, "is_first", lambda: False)
  monkeypatch.setattr(hosts, "_wait", lambda name: None)
  other = _prepare(given, tmp_path, **own)
  assert _files(tmp_path) == before
  assert other.records == first.records
  with pytest.raises(errors.UserError, match="must see the same --workdir"):
    _prepare(given, tmp_path / "elsewhere", **own)
