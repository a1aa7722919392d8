"""A plan as lines of text."""

from collections.abc import Sequence

from crab_jax.planning import costs
from crab_jax.planning import generation
from crab_jax.planning import report
from crab_jax.planning import slots

_GIB = 2**30


def _memory(found: report.Compiled) -> list[str]:
  memory = found.memory
  parts = {
    "frozen weights": memory.frozen,
    "trained weights": memory.trained,
    "optimizer": memory.optimizer,
    "batch": memory.batch,
    "keys and values": memory.cache,
    "other weights": memory.held,
    "temporaries": memory.temporaries,
  }
  lines = [
    f"  {name:<16} {size / _GIB:7.2f} GiB"
    for name, size in parts.items()
    if size
  ]
  verdict = "fits" if memory.fits else "DOES NOT FIT"
  share = memory.peak / memory.hbm
  return [
    "memory of a chip",
    *lines,
    f"  {'peak':<16} {memory.peak / _GIB:7.2f} GiB of"
    f" {memory.hbm / _GIB:.0f} GiB ({share:.0%}): {verdict}",
  ]


def _work(found: report.Compiled, spent: costs.Costs) -> list[str]:
  model = found.model_flops
  ran = spent.flops * found.chips
  adapter = spent.adapter * found.chips
  return [
    "FLOPs of a call, all chips",
    f"  the mathematics  {model.total:.4g}: decoder {model.decoder:.3g}, towers"
    f" {model.towers:.3g}, attention {model.attention:.3g}, vocabulary"
    f" {model.head:.3g}, adapter {model.adapter:.3g}",
    f"  the program      {ran:.4g}, {report.executed_over_model(found):.2f} times"
    f" that; repeated for the backward pass {spent.again / spent.flops:.0%},"
    f" adapter {adapter / ran:.1%}",
  ]


def _traffic(spent: costs.Costs) -> list[str]:
  rows = [
    f"  {kind:<18} {size / 1e9:8.2f} GB in {spent.calls[kind]:>6} calls, the"
    f" largest {spent.largest[kind][0] / 1e6:.0f} MB"
    for kind, size in spent.received.items()
    if spent.calls[kind]
  ]
  if spent.slice_calls:
    rows.append(
      f"  {'between slices':<18} {spent.from_slices / 1e9:8.2f} GB in"
      f" {spent.slice_calls:>6} calls"
    )
  return [
    f"memory traffic of a chip {spent.hbm_bytes / 1e9:.4g} GB a call",
    "arriving at a chip from others, a call",
    *rows,
  ]


def _times(times: report.Times) -> str:
  slices = f", between slices {times.slices:.3g}" if times.slices else ""
  return (
    f"(products {times.compute:.3g}, memory {times.memory:.3g}, network"
    f" {times.network:.3g}{slices})"
  )


def _estimate(
  found: report.Plan, times: report.Times, job: report.Job
) -> list[str]:
  best, worst = (
    report.rates(found, seconds, job) for seconds in (times.best, times.worst)
  )

  def both(name, digits):
    return f"{best[name]:,.{digits}f} .. {worst[name]:,.{digits}f}"

  return [
    "ESTIMATES from the chip's peaks, not measurements (all overlaps .. nothing"
    " does)",
    f"  seconds a step   {both('step_seconds', 2)} {_times(times)}",
    f"  tokens/s         {both('tokens_per_second', 0)}",
    f"  samples/s        {both('samples_per_second', 1)}",
    f"  model FLOPs used {both('model_flops_utilisation', 2)} of the peak",
    f"  hours            {both('hours', 1)}; chip-hours"
    f" {both('chip_hours', 0)}, for {job.samples:,} samples x {job.epochs}"
    f" epochs of {job.sample_tokens:.0f} tokens, {job.useful:.0%} of a row used",
    f"  peaks            {found.chip.source}",
  ]


def _phase_rates(found: generation.Phase, times: report.Times) -> list[str]:
  """Estimated times of one of the two programs of generation."""
  rows = found.rows.rows
  unit, each = "batch of prompts", rows * found.rows.tokens
  if found.program == generation.DECODE:
    unit, each = "token of every row", rows
  return [
    "ESTIMATES from the chip's peaks, not measurements (all overlaps .. nothing"
    " does)",
    f"  seconds a {unit}   {times.best:.4g} .. {times.worst:.4g}"
    f" {_times(times)}",
    f"  tokens/s of a host   {each / times.best:,.0f} .."
    f" {each / times.worst:,.0f}",
    f"  peaks            {found.chip.source}",
  ]


def phase(found: generation.Phase) -> list[str]:
  mesh = " x ".join(f"{name} {size}" for name, size in found.mesh.items())
  rows = found.rows
  head = (
    f"{found.program} on a host, {found.topology} ({found.chips} chips, 1 host"
    f" of {found.hosts}), mesh {mesh}; {rows.rows} prompts of {rows.tokens}"
    f" tokens, {rows.frame_pairs} frame pairs and {rows.chunks} chunks, room"
    f" for {found.new_tokens} new tokens; compiled in"
    f" {found.compile_seconds:.0f} s"
  )
  if found.costs is None or found.times is None:
    return [head, *_memory(found)]
  return [
    head,
    *_memory(found),
    *_work(found, found.costs),
    *_traffic(found.costs),
    *_phase_rates(found, found.times),
  ]


def generation_lines(phases: Sequence[generation.Phase]) -> list[str]:
  """All that a plan of generation says, for people."""
  said = [line for made in phases for line in phase(made)]
  if rates := generation.answers_per_second(phases):
    said.append(
      f"answers/s of the slice, every one {phases[0].new_tokens} tokens long"
      f" (estimate): {rates[1]:,.2f} .. {rates[0]:,.2f}"
    )
  return said


def serving_lines(phases: Sequence[generation.Phase]) -> list[str]:
  """All that a plan of a server says, for people."""
  said = [line for made in phases for line in phase(made)]
  if rates := slots.answers_per_second(phases):
    said.append(
      f"answers/s of a host, every one {phases[0].new_tokens} tokens long, all"
      f" slots in use (estimate): {rates[1]:,.2f} .. {rates[0]:,.2f}"
    )
  return said


def lines(found: report.Plan, job: report.Job) -> list[str]:
  """All that a plan says, for people."""
  mesh = " x ".join(f"{name} {size}" for name, size in found.mesh.items())
  slices = f"{found.slices} x " if found.slices > 1 else ""
  head = (
    f"{slices}{found.topology} ({found.chips} chips), mesh {mesh};"
    f" {found.rows.rows} rows of {found.rows.tokens} tokens, remat"
    f" {found.remat}; compiled in {found.compile_seconds:.0f} s"
  )
  if found.costs is None or found.times is None:
    return [head, *_memory(found)]
  return [
    head,
    *_memory(found),
    *_work(found, found.costs),
    *_traffic(found.costs),
    *_estimate(found, found.times, job),
  ]


def row(found: report.Plan, job: report.Job) -> str:
  """One line of a sweep."""
  mesh = "x".join(str(size) for size in found.mesh.values())
  head = (
    f"mesh {mesh:<8} rows {found.rows.rows:<4} remat {found.remat:<12}"
    f" {found.memory.peak / _GIB:6.2f} GiB"
  )
  if not found.memory.fits or found.times is None:
    return f"{head}  does not fit"
  best = report.rates(found, found.times.best, job)
  worst = report.rates(found, found.times.worst, job)
  return (
    f"{head}  {report.executed_over_model(found):.2f} x model FLOPs,"
    f" {worst['tokens_per_second']:,.0f} .. {best['tokens_per_second']:,.0f}"
    " tokens/s"
  )
