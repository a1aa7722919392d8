"""Packing: nothing lost or doubled, no budget broken, little padding."""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from crab_jax import configs
from crab_jax import gin_utils
from crab_jax.array_types import TokenKind
from crab_jax.data import conversation
from crab_jax.data import packing
from crab_jax.data import tasks
from tests.data import small_records

_MODEL = small_records.MODEL
_PER_PAIR = _MODEL.vision.unit_tokens
_ROWS = configs.Rows(
  rows=2,
  tokens=64,
  frame_pairs=4,
  chunks=5,
  supervised=24,
  samples=4,
  waiting=6,
)


def _sample(rng, pairs: int, mel_lengths, text: int, answer: int, row: int):
  """Random content: text, vision, audio, text, answer."""
  mel_lengths = np.array(mel_lengths, np.int32)
  heard = int(_MODEL.audio.tokens_of(mel_lengths).sum())
  kinds = np.repeat(
    np.array(
      [TokenKind.TEXT, TokenKind.VISION, TokenKind.AUDIO, TokenKind.ANSWER]
    ),
    [text, pairs * _PER_PAIR, heard, answer],
  ).astype(np.uint8)
  tokens = rng.integers(1, 400, len(kinds)).astype(np.int32)
  labels = np.where(kinds == TokenKind.ANSWER, tokens, conversation.IGNORED)
  mel = rng.random((len(mel_lengths), 200, 64)).astype(np.float32)
  mel[np.arange(200) >= mel_lengths[:, None]] = 0
  return {
    "tokens": tokens,
    "labels": labels.astype(np.int32),
    "positions": rng.integers(0, 99, (len(kinds), 3)).astype(np.int32),
    "kinds": kinds,
    "frames": rng.integers(1, 255, (pairs, 2, 56, 56, 3), dtype=np.uint8),
    "mel": mel,
    "mel_lengths": mel_lengths,
    "task": int(rng.integers(19)),
    "row": row,
  }


def _unpack(batch) -> dict[int, dict]:
  """Row of the annotation -> sample, read back through segments and source."""
  found = {}
  for at in range(len(batch["tokens"])):
    row = {key: value[at] for key, value in batch.items()}
    for number, (task, name) in enumerate(row["sample_ids"]):
      if task >= 0:
        assert name not in found
        found[int(name)] = _unpack_one(row, number + 1)
        assert found[int(name)]["task"] == task
  return found


def _unpack_one(row, segment: int) -> dict:
  here = np.flatnonzero(row["segments"] == segment)
  np.testing.assert_array_equal(here, np.arange(here[0], here[-1] + 1))
  kinds, source = row["kinds"][here], row["source"][here]
  labels = np.full(len(here), conversation.IGNORED, np.int32)
  used = row["weights"] == 1
  for position, label in zip(
    row["supervised"][used], row["labels"][used], strict=True
  ):
    if here[0] <= position <= here[-1]:
      labels[position + 1 - here[0]] = label
  vision = source[kinds == TokenKind.VISION]
  pairs = np.unique(vision // _PER_PAIR)
  first = len(row["frames"]) * _PER_PAIR
  audio = source[kinds == TokenKind.AUDIO] - first
  chunks = np.unique(audio // _MODEL.audio.unit_tokens)
  for chunk in chunks:  # the tokens of a chunk come in order from its first
    tokens = audio[audio // 10 == chunk] % 10
    np.testing.assert_array_equal(tokens, np.arange(len(tokens)))
  np.testing.assert_array_equal(
    vision % _PER_PAIR, np.arange(len(vision)) % _PER_PAIR
  )
  assert (
    source[~np.isin(kinds, [TokenKind.VISION, TokenKind.AUDIO])] == -1
  ).all()
  assert len(set(row["tasks"][here])) == 1
  return {
    "tokens": row["tokens"][here],
    "labels": labels,
    "positions": row["positions"][here],
    "kinds": kinds,
    "frames": row["frames"][pairs],
    "mel": row["mel"][chunks],
    "mel_lengths": row["mel_lengths"][chunks],
    "task": int(row["tasks"][here[0]]),
  }


_shapes = st.tuples(
  st.integers(0, 2),
  st.lists(st.integers(20, 200), max_size=2),
  st.integers(1, 9),
  st.integers(1, 9),
)


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(st.lists(_shapes, min_size=1, max_size=20))
def test_unpacking_gives_the_samples_back(shapes):
  rng = np.random.default_rng(0)
  given = [_sample(rng, *shape, row) for row, shape in enumerate(shapes)]
  packer = packing.Packer(_ROWS)
  rows = [packer.add(item, packing.sizes(item)) for item in given]
  rows = [row for row in rows if row]
  while row := packer.pop():
    rows.append(row)
  layout = packing.Layout(len(rows), _ROWS, _MODEL, pad=7)
  batch = layout.stack(rows)
  found = _unpack(batch)
  assert sorted(found) == list(range(len(given)))
  for item in given:
    for key, value in found[item["row"]].items():
      np.testing.assert_array_equal(value, item[key], err_msg=key)
  _check_padding(batch, given)


def _check_padding(batch, given) -> None:
  """What is unused has the values that the module documents."""
  empty = batch["segments"] == 0
  assert (batch["tokens"][empty] == 7).all()
  assert (batch["source"][empty] == -1).all()
  assert (batch["tasks"][empty] == -1).all()
  assert not batch["kinds"][empty].any()
  assert not batch["positions"][empty].any()
  assert (~empty).sum() == sum(len(item["tokens"]) for item in given)
  used = sum(len(item["frames"]) for item in given)
  assert (
    batch["frames"].reshape(*batch["frames"].shape[:2], -1).max(-1) > 0
  ).sum() == used
  assert (batch["mel_lengths"] > 0).sum() == sum(
    len(item["mel_lengths"]) for item in given
  )
  assert not batch["labels"][batch["weights"] == 0].any()
  assert not batch["supervised"][batch["weights"] == 0].any()


def test_the_first_token_of_a_sample_is_never_a_label():
  """The token before a sample belongs to another one."""
  rng = np.random.default_rng(0)
  samples = [_sample(rng, 0, [], 0, 5, row) for row in range(2)]
  batch = packing.Layout(1, _ROWS, _MODEL, 0).stack([samples])
  used = batch["weights"][0] == 1
  np.testing.assert_array_equal(
    batch["supervised"][0][used], [0, 1, 2, 3, 5, 6, 7, 8]
  )


def test_misfit_names_the_budget():
  size = np.array([65, 1, 1, 1, 1], np.int32)
  assert packing.misfit(_ROWS, size) == (
    "it needs 65 tokens, but Rows.tokens=64"
  )
  size = np.array([64, 4, 6, 24, 1], np.int32)
  assert "Rows.chunks=5" in packing.misfit(_ROWS, size)
  assert packing.misfit(_ROWS, packing.limits(_ROWS)) is None


def _media(task: tasks.Task) -> tuple[int, int]:
  """Frame pairs, and seconds of sound, of a sample at nominal durations."""
  seconds = {"four_seconds": 4, "sixtieths": 20, "fifths": 5}
  heard = seconds.get(task.window, 1 if task.visual == "image" else 10)
  heard = 20 if task.name == "v2a" else heard
  pairs = 10 if task.name == "a2v" else -(-task.frames // 2)
  return pairs, heard


# Tokens of vision and audio: 64 a frame pair, 25 a second.
_CLIP, _FACE, _IMAGE = (320, 250), (128, 100), (64, 25)
_NOMINAL = {
  **dict.fromkeys(("ks", "ucf", "avqa_thu", "ave", "unav", "avvp"), _CLIP),
  **dict.fromkeys(("meld", "mer24", "cremad", "mafw", "dfew"), _FACE),
  **dict.fromkeys(("s4", "ms3", "ref_avs"), _IMAGE),
  "avcap": _CLIP,
  "avqa": (320, 500),
  "a2v": (640, 250),
  "v2a": (320, 500),
  "arig": (64, 125),
}


@pytest.mark.parametrize(
  "task", tasks.Tasks().values(), ids=lambda task: task.name
)
def test_nominal_lengths_are_those_of_the_dataset(task):
  pairs, heard = _media(task)
  assert (64 * pairs, 25 * heard) == _NOMINAL[task.name]


def _lengths(rng, weights: dict[str, float], count: int, tokens: dict):
  """int32[count, 5]: sizes of a mixture at nominal durations."""
  names = list(weights)
  shares = np.array([weights[name] for name in names], float)
  chosen = rng.choice(len(names), count, p=shares / shares.sum())
  rows = []
  for index in chosen:
    task = tasks.Tasks()[names[index]]
    pairs, heard = _media(task)
    # Roles, system prompt and wording; the question comes on top.
    points = task.name in ("s4", "ms3", "ref_avs")
    text = tokens["points" if points else "text"] + rng.integers(5, 25)
    answer = int(np.clip(rng.lognormal(tokens["answer"], 0.5), 10, 300))
    total = pairs * tokens["pair"] + heard * tokens["second"] + text + answer
    rows.append((total, pairs, -(-heard // 2), answer + 2, 1))
  return np.array(rows, np.int32)


def _use(sizes, rows: configs.Rows) -> float:
  """Share of useful tokens in the rows of a stream; checks the budgets."""
  packer = packing.Packer(rows)
  made = [packer.add(i, size) for i, size in enumerate(sizes)]
  made = [row for row in made if row]
  kept = [index for row in made for index in row] + packer.waiting
  assert sorted(kept) == list(range(len(sizes)))
  sums = np.array([sizes[row].sum(axis=0) for row in made])
  assert (sums <= packing.limits(rows)).all()
  # Nobody waits for ever.
  assert min(packer.waiting) > len(sizes) - 40 * rows.waiting
  return sums[:, 0].mean() / rows.tokens


_REAL = {"text": 70, "points": 97, "answer": 4.3, "pair": 64, "second": 25}
_TINY = {"text": 35, "points": 35, "answer": 3.6, "pair": 4, "second": 5}
# Thousands of training samples, roughly as the corpora are published.
_BY_SIZE = dict(
  zip(
    tasks.Tasks(),
    (20, 20, 20, 9, 9, 5, 6, 8, 10, 32, 40, 3, 5, 10, 1, 3, 16, 3, 10),
    strict=True,
  )
)


@pytest.mark.parametrize("weights", [_BY_SIZE, dict.fromkeys(_BY_SIZE, 1.0)])
def test_nominal_lengths_fill_the_rows_of_the_7b_recipe(weights):
  """At least 95 % of the tokens of a row are of samples."""
  files = ["gin/crab_plus_7b.gin", "gin/mesh/v5e_16.gin"]
  (stage,) = gin_utils.experiment(files, []).stages
  assert stage.rows.tokens == 2048
  sizes = _lengths(np.random.default_rng(0), weights, 2500, _REAL)
  assert _use(sizes, stage.rows) >= 0.95


def test_the_lengths_of_the_tiny_model_fill_rows():
  weights = dict.fromkeys(_BY_SIZE, 1.0)
  sizes = _lengths(np.random.default_rng(0), weights, 1500, _TINY)
  rows = configs.Rows(
    tokens=512, frame_pairs=24, chunks=24, supervised=256, samples=16
  )
  assert _use(sizes, rows) >= 0.98


def test_the_oldest_goes_first_and_order_decides():
  sizes = _lengths(np.random.default_rng(1), _BY_SIZE, 300, _REAL)
  made = []
  for _ in range(2):
    packer = packing.Packer(configs.Rows())
    rows = [packer.add(i, size) for i, size in enumerate(sizes)]
    made.append([row for row in rows if row])
  assert made[0] == made[1]
  taken = set()
  for row in made[0]:
    assert row[0] == min(set(range(300)) - taken)
    taken |= set(row)


def test_waiting_items_continue_a_packer():
  """A new packer that gets the waiting items goes on as the old one."""
  sizes = _lengths(np.random.default_rng(2), _BY_SIZE, 300, _REAL)
  old = packing.Packer(configs.Rows())
  for index in range(200):
    old.add(index, sizes[index])
  new = packing.Packer(configs.Rows())
  for index in old.waiting:
    assert new.add(index, sizes[index]) is None
  for index in range(200, 300):
    assert new.add(index, sizes[index]) == old.add(index, sizes[index])


def test_the_last_rows_are_filled_too():
  """With fewer items than a row takes, all of them share one."""
  packer = packing.Packer(dataclasses.replace(_ROWS, samples=16))
  for index in range(4):
    packer.add(index, np.array([5, 0, 0, 2, 1], np.int32))
  assert packer.pop() == [0, 1, 2, 3] and packer.pop() is None


def test_nothing_waits_in_an_empty_packer():
  packer = packing.Packer(_ROWS)
  assert packer.pop() is None and packer.waiting == []
