"""What hosts compare before they train, and what is said where they differ.

Two real processes that differ are in survival_test.
"""

import dataclasses
import json
import shutil

import jax
import pytest

from crab_jax import configs
from crab_jax import errors
from crab_jax.data import tokenizer as tokenizers
from crab_jax.experiment import setup
from crab_jax.paradigms import front
from crab_jax.training import hosts
from crab_jax.training import model_folder
from tests.data import small_records

_TEXT = "Data.seed = 42\n"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
  """Prepared records of one dataset, and a tokenizer."""
  root = tmp_path_factory.mktemp("given")
  found = [small_records.record("meld", row) for row in range(2)]
  small_records.write(root / "records", found)
  (root / "records" / "summary.json").write_text("{}")
  tokenizers.train(["text"] * 3, 300, front.of(configs.tiny()).grammar).save(
    root / "tokenizer.json"
  )
  return root


def _prepare(given, workdir, **settings):
  given = {
    "model": configs.tiny(),
    "data": configs.Data(tokenizer=str(given / "tokenizer.json")),
    "records": str(given / "records"),
  }
  experiment = configs.Experiment(
    stages=[configs.Stage(name="s", steps=1, trains="all")],
    compiled="off",
    hosts=configs.Hosts(start=41),
    **(given | settings),
  )
  return setup.prepare(experiment, workdir, _TEXT)


def _other_host(monkeypatch, change):
  """A second host that says what the first says, but for `change`."""
  said = {}

  def exchange(name, value, seconds):
    assert seconds == 41
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


@pytest.fixture(scope="module")
def base(given):
  """A model folder without parameters: nothing here reads them."""
  folder = given / "base"
  folder.mkdir()
  text = model_folder.config_text(configs.tiny())
  (folder / model_folder.CONFIG_FILE).write_text(text)
  shutil.copy(given / "tokenizer.json", folder)
  return folder


def _on(base, given, workdir, model=None, tokenizer=None):
  return _prepare(
    given,
    workdir,
    base=str(base),
    model=model or configs.tiny(adapter=configs.ILora(rank=2)),
    data=configs.Data(tokenizer=tokenizer and str(tokenizer)),
  )


def _with(part, **fields):
  model = configs.tiny()
  changed = dataclasses.replace(getattr(model, part), **fields)
  return dataclasses.replace(model, **{part: changed})


@pytest.mark.parametrize(
  ("part", "fields"),
  [
    ("decoder", {"rope_theta": 1e4}),
    # Parameters of the same shapes as 4 heads of 32.
    ("decoder", {"heads": 8, "head_size": 16, "rope_sections": (2, 3, 3)}),
    ("decoder", {"norm_epsilon": 1e-5}),
    ("vision", {"full_blocks": ()}),
    ("vision", {"heads": 1}),
    ("audio", {"heads": 1}),
  ],
)
def test_a_base_of_another_network_is_refused(
  part, fields, base, given, tmp_path
):
  with pytest.raises(errors.UserError) as caught:
    _on(base, given, tmp_path, _with(part, **fields))
  assert str(base / "model.json") in str(caught.value)
  for name, value in fields.items():
    assert f".{name} is " in str(caught.value)
    value = list(value) if isinstance(value, tuple) else value
    assert f"and not {value!r}" in str(caught.value)
  assert not list(tmp_path.iterdir())


def test_what_is_computed_where_may_differ_from_the_base(base, given, tmp_path):
  size = 2 * configs.tiny().vision.frame_size
  model = dataclasses.replace(
    _with("vision", frame_size=size),
    compute_dtype="bfloat16",
    remat="projections",
  )
  found = _on(base, given, tmp_path, model)
  assert found.workdir == tmp_path


def test_the_tokenizer_is_that_of_the_base(base, given, tmp_path):
  found = _on(base, given, tmp_path)
  own = base / "tokenizer.json"
  assert (tmp_path / "tokenizer.json").read_bytes() == own.read_bytes()
  given_too = _on(base, given, tmp_path, tokenizer=given / "tokenizer.json")
  assert given_too.tokenizer.fingerprint() == found.tokenizer.fingerprint()


def test_another_tokenizer_than_that_of_the_base_is_refused(
  base, given, tmp_path
):
  grammar = front.of(configs.tiny()).grammar
  # One with more entries, one with as many of which one is another.
  for name, texts in [("more", ["hello"] * 3), ("other", ["tax"] * 3)]:
    path = tmp_path / f"{name}.json"
    tokenizers.train(texts, 300, grammar).save(path)
    with pytest.raises(errors.UserError, match="not the tokenizer of the base"):
      _on(base, given, tmp_path / "run", tokenizer=path)


def test_a_base_without_a_tokenizer_needs_one(base, given, tmp_path):
  bare = tmp_path / "bare"
  bare.mkdir()
  shutil.copy(base / "model.json", bare)
  with pytest.raises(errors.UserError, match="set Data.tokenizer"):
    _on(bare, given, tmp_path / "run")
  _on(bare, given, tmp_path / "run", tokenizer=given / "tokenizer.json")
