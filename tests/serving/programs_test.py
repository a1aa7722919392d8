"""Slots: every order of arrivals gives each prompt its own answer."""

import dataclasses

import numpy as np
import pytest

from crab_jax.paradigms import slots
from crab_jax.serving import interface
from crab_jax.serving import programs as programs_lib
from tests.serving import small

GREEDY = interface.Decoding()


class _Rows:
  """Answers in the making, as the engine keeps them."""

  def __init__(self, made, limit=small.NEW):
    self._made, self._limit = made, limit
    self.running, self.answers = {}, {}

  def begin(self, name, sample, limit, decoding=GREEDY):
    """Reads a prompt into the first free slot."""
    slot = next(i for i in range(self._made.slots) if i not in self.running)
    read = self._made.read(sample, decoding)
    self.answers[name] = [self._made.first_token(read)]
    if self.answers[name][0] == small.STOP or limit == 1:
      return
    self._made.insert(slot, read, limit, stops=True)
    self.running[slot] = (name, limit)

  def step(self, steps, leave):
    tokens = self._made.decode(max(self.running) + 1, steps, leave)
    assert np.any(tokens >= 0)  # or the answers would never end
    for slot, (name, limit) in list(self.running.items()):
      answer = self.answers[name]
      answer += [int(t) for t in tokens[:, slot] if t >= 0]
      if answer[-1] == small.STOP or len(answer) == limit:
        del self.running[slot]

  def move(self, slot):
    """Takes an answer to the first free slot, where an engine does that."""
    if len(self._made.row_counts) == 1:
      return
    free = (i for i in range(self._made.slots) if i not in self.running)
    if (target := next(free, None)) is not None:
      self._made.relocate(slot, target)
      self.running[target] = self.running.pop(slot)

  def cancel(self, slot):
    self._made.release(slot)
    del self.running[slot]


def _schedule(made, seed):
  """Arrivals, bursts, cancellations and limits in a random order."""
  rng = np.random.default_rng(seed)
  rows, cancelled, limits = _Rows(made), set(), {}
  for name in range(int(rng.integers(2, 9))):
    while len(rows.running) == made.slots or (
      rows.running and rng.random() < 0.5
    ):
      rows.step(int(rng.integers(1, 5)), bool(rng.integers(2)))
      if rows.running and rng.random() < 0.2:
        slot = int(rng.choice(list(rows.running)))
        cancelled.add(rows.running[slot][0])
        rows.cancel(slot)
      if rows.running and rng.random() < 0.3:
        rows.move(int(rng.choice(list(rows.running))))
    limits[name] = int(rng.integers(1, small.NEW + 1))
    rows.begin(name, small.sample(name + 8 * (seed % 4)), limits[name])
  while rows.running:
    rows.step(4, leave=False)
  for name, found in rows.answers.items():
    wanted = small.answer(name + 8 * (seed % 4))
    # The reference leaves the stop token out.
    whole = [*wanted, small.STOP][: limits[name]]
    size = len(found) if name in cancelled else len(whole)
    assert found == whole[:size], (seed, name)


def _all_alike():
  """Whether no prompt or answer of the schedules has anything to tell."""
  return len({small.answer(name) for name in range(8)}) < 6


def test_answers_differ_and_some_end_by_themselves():
  """Else equal answers would prove nothing."""
  assert not _all_alike()
  lengths = {len(small.answer(name)) for name in range(32)}
  assert small.NEW in lengths
  assert len(lengths) > 2


@pytest.mark.parametrize(
  "changed", [{}, pytest.param({"slots": 1}, marks=pytest.mark.slow)]
)
def test_greedy_answers_are_those_of_generation_alone(changed):
  made = small.programs(**changed)
  before = made.compilations
  for seed in range(24):
    _schedule(made, seed)
  assert made.compilations == before


@pytest.mark.slow
def test_slots_along_four_devices_answer_as_one_does():
  """Two groups of two, which share the kv heads; the slots are of both."""
  made = small.programs(devices=4)
  assert made.slots == 4  # the three that were asked for, and padding
  before = made.compilations
  kernel = made._params["model"]["layers"]["self_attn"]["q_proj"]["kernel"]
  assert kernel.addressable_shards[0].data.size * 2 == kernel.size
  for seed in range(24):
    _schedule(made, seed)
  assert made.compilations == before


@pytest.mark.slow
def test_greedy_answers_of_256_schedules():
  made = small.programs()
  before = made.compilations
  for seed in range(256):
    _schedule(made, seed)
  assert made.compilations == before


def test_a_full_ring_never_meets_its_own_tail():
  """Answers as long as the room, from every column of the ring."""
  made = small.programs()
  for _ in range(small.NEW + 1):
    rows = _Rows(made)
    longest = next(n for n in range(32) if len(small.answer(n)) == small.NEW)
    rows.begin("a", small.sample(longest), small.NEW)
    while rows.running:
      rows.step(3, leave=False)
    assert tuple(rows.answers["a"]) == small.answer(longest)
    # One more step, so that the next one begins at another column.
    rows.begin("b", small.sample(longest), 2)
    rows.step(1, leave=False)


def test_a_seeded_answer_depends_neither_on_neighbours_nor_on_its_slot():
  made = small.programs()
  drawn = interface.Decoding(temperature=4.0, top_p=0.95, seed=3)
  found = []
  for others in (0, 2, 1):
    rows = _Rows(made)
    for name in range(others):
      way = dataclasses.replace(drawn, seed=name + 9)
      rows.begin(name, small.sample(name), small.NEW, way)
    rows.begin("a", small.sample(9), small.NEW, drawn)
    while rows.running:
      rows.step(2, leave=True)
    found.append(rows.answers["a"])
  assert found[0] == found[1] == found[2]
  assert found[0] != list(small.answer(9))


def test_a_penalty_knows_the_prompt_and_the_answer():
  """So high that no token comes twice, where stop tokens are ignored."""
  made, sample = small.programs(), small.sample(1)
  read = made.read(sample, interface.Decoding(repetition_penalty=1e6))
  made.insert(0, read, limit=5, stops=False)
  tokens = made.decode(1, steps=4, leave=False)[:, 0].tolist()
  found = [made.first_token(read), *tokens, *set(sample["tokens"].tolist())]
  assert len(set(found)) == len(found)
  assert min(tokens) >= 0


def test_a_burst_leaves_when_a_row_has_ended():
  made = small.programs()
  lengths = {n: len(small.answer(n)) for n in range(32)}
  long = [n for n, length in lengths.items() if length == small.NEW][:2]
  for leave, wanted in ((True, 1), (False, 3)):
    rows = _Rows(made)
    rows.begin("a", small.sample(long[0]), 2)
    rows.begin("b", small.sample(long[1]), small.NEW)
    rows.step(3, leave)
    assert len(rows.answers["b"]) == 1 + wanted
    assert len(rows.answers["a"]) == 2
    rows.cancel(1)


@pytest.mark.parametrize("clip", [2, 5])
def test_shared_beginnings_change_no_answer(clip):
  made = small.programs()
  first = made.read(small.sample(0, clip), GREEDY)
  media = 3 + int(np.sum(small.sample(0, clip)["kinds"] != 1))
  piece = made.beginning(first, media)
  for seed in range(6):
    read = made.extend(small.sample(seed, clip), media, piece, GREEDY)
    answer = [made.first_token(read)]
    if answer[0] != small.STOP:
      made.insert(1, read, small.NEW, stops=True)
      tokens = np.concatenate([made.decode(2, 4, False) for _ in range(2)])
      answer += [int(t) for t in tokens[:, 1] if t >= 0]
    wanted = [*small.answer(seed, clip), small.STOP][: small.NEW]
    assert answer == wanted, seed


def test_what_cannot_be_compiled_ends_the_warm_up(monkeypatch):
  def fails(*arguments, **named):
    raise MemoryError("no room for it")

  monkeypatch.setattr(slots, "insert", fails)
  made = programs_lib.Programs(
    small.CONFIG, small.params(), (small.STOP,), small.SETTINGS
  )
  with pytest.raises(MemoryError, match="no room"):
    made.warm_up()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_narrow_weights_decode_nearly_the_same(dtype):
  """The first token is of the whole model, the others of narrow weights."""
  made = small.programs(slots=1, decode_dtype=dtype, prefix_bytes=0)
  equal = []
  for name in range(6):
    rows = _Rows(made)
    rows.begin("a", small.sample(name), small.NEW)
    while rows.running:
      rows.step(4, leave=False)
    wanted = [*small.answer(name), small.STOP][: small.NEW]
    assert rows.answers["a"][0] == wanted[0]
    equal.append(rows.answers["a"] == wanted)
  assert np.mean(equal) >= 0.5
