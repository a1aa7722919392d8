"""Times the slots of a server against batches, for the answers of an evaluation.

  python -m tests.parity.evaluate_speed --checkpoint=runs/base/base
    --adapter=runs/base/adapter --data=runs/base/records [--limit=24]
    [--batch=16] [--rounds=2]

The same held-out clips, greedy, answered twice a round: in batches, each of which
goes on until its longest answer has ended, as `evaluate` does it; and by an engine
with as many slots, where the next prompt takes the place of an answer that has
ended. Media are decoded ahead of the device in both. Compilation is not counted.
Prints seconds, the ratio, how long answers are, and how many of them are equal.
"""

import argparse
import concurrent.futures
import time

import numpy as np

from crab_jax import configs
from crab_jax import files
from crab_jax.data import prepared_records
from crab_jax.data import prompt_batches
from crab_jax.data import records as records_lib
from crab_jax.data import samples as samples_lib
from crab_jax.evaluation import decode
from crab_jax.evaluation import folder
from crab_jax.evaluation import held_out
from crab_jax.serving import engine as engine_lib
from crab_jax.serving import interface
from crab_jax.serving import programs as programs_lib
from crab_jax.serving import shapes


class _Slots:
  """Answers records by an engine.

  Args:
    model: of a folder.
    maker: makes the prompts.
    settings: of the engine.
  """

  def __init__(
    self,
    model: folder.Model,
    maker: samples_lib.SampleMaker,
    settings: configs.Slots,
  ):
    self._maker, self._tokenizer = maker, model.tokenizer
    stop = (model.tokenizer.end,)
    programs = programs_lib.Programs(
      model.config, model.params, stop, settings, usual=shapes.usual(maker)
    )
    self._engine = engine_lib.Engine(programs)
    self._new = settings.new_tokens
    self._engine.start()
    while not self._engine.ready:
      time.sleep(0.1)

  def _answer(self, record: records_lib.Record) -> list[int]:
    """Waits for the tokens of one answer."""
    ids: list[int] = []
    ended: concurrent.futures.Future[None] = concurrent.futures.Future()

    def on_event(event: interface.Event) -> None:
      if isinstance(event, interface.Tokens):
        ids.extend(event.ids)
      elif isinstance(event, interface.Finished):
        ended.set_result(None)

    decoding = interface.Decoding(max_new_tokens=self._new)
    sample = self._maker.prompt(record)
    self._engine.submit(interface.Job(sample, on_event, decoding))
    ended.result()
    return ids

  def answers(self, clips, ahead: int) -> dict[str, str]:
    """Id -> text, with `ahead` clips asked at a time, the shortest first."""
    order = sorted(clips, key=lambda r: self._maker.prompt_lengths(r).tokens)
    with concurrent.futures.ThreadPoolExecutor(ahead) as pool:
      found = zip(order, pool.map(self._answer, order), strict=True)
      return {r.id: self._tokenizer.decode(ids).strip() for r, ids in found}

  def close(self) -> None:
    """Ends the engine."""
    self._engine.stop(0)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--checkpoint", required=True)
  parser.add_argument("--adapter", required=True)
  parser.add_argument("--data", required=True)
  parser.add_argument("--limit", type=int, default=24)
  parser.add_argument("--batch", type=int, default=16)
  parser.add_argument("--new", type=int, default=96)
  parser.add_argument("--rounds", type=int, default=2)
  flags = parser.parse_args()
  prepared = prepared_records.read(files.path(flags.data))
  model = folder.load(files.path(flags.checkpoint), files.path(flags.adapter))
  maker = folder.sample_maker(model, prepared.table)
  config = configs.Evaluation(
    batch=flags.batch, max_new_tokens=flags.new, limit=flags.limit
  )
  clips = list(held_out.clips(prepared, config))
  answerer = decode.Answerer(
    model.config, model.params, maker, model.tokenizer, config
  )
  longest = max(maker.prompt_lengths(clip).tokens for clip in clips)
  slots = _Slots(
    model,
    maker,
    configs.Slots(
      slots=flags.batch,
      prompt_tokens=-(-longest // 128) * 128,
      new_tokens=flags.new,
      prefix_bytes=0,
    ),
  )
  ways = {
    "batches": lambda: {r["id"]: r["text"] for r in answerer.answers(clips)},
    "slots": lambda: slots.answers(clips, flags.batch + 4),
  }
  seconds: dict[str, list[float]] = {name: [] for name in ways}
  for number in range(flags.rounds + 1):  # the first one compiles
    texts = {}
    for name, answer in ways.items():
      began = time.perf_counter()
      texts[name] = answer()
      if number:
        seconds[name].append(time.perf_counter() - began)
        print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
  slots.close()
  one, other = texts.values()
  equal = sum(one[name] == other[name] for name in one)
  lengths = {n: len(model.tokenizer.encode(t)) for n, t in one.items() if t}
  batches, waited = prompt_batches.batches(clips, maker, flags.batch), 0
  for group, batch, _ in batches:
    if batch is not None:
      waited += flags.batch * max(lengths.get(r.id, 0) for r in group)
  print(
    f"{len(clips)} clips, {equal} answers equal; answers of"
    f" {np.mean([*lengths.values()]):.0f} tokens, {max(lengths.values())} at most;"
    f" rows of batches in use: {sum(lengths.values()) / waited:.2f}"
  )
  ratio = min(seconds["batches"]) / min(seconds["slots"])
  print(f"slots are {ratio:.2f} times as fast as batches")


if __name__ == "__main__":
  main()
