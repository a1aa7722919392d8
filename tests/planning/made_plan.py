"""A plan that no compiler made, for the tests of what is said of it."""

import dataclasses

from crab_jax import configs
from crab_jax.planning import chips
from crab_jax.planning import collectives
from crab_jax.planning import costs
from crab_jax.planning import flops
from crab_jax.planning import report

GIB = 2**30
ROWS = configs.Rows(rows=16)
MODEL = configs.qwen2_5_omni_7b(adapter=configs.ILora())
STAGE = configs.Stage(name="tuning", steps=10, trains="adapter", rows=ROWS)


def plan(peak=8 * GIB, step=1.0, rows=16, fits=True):
  """A plan of 7B on 16 chips, as if it had been compiled."""
  chip, count = chips.of_topology("v5e:4x4")
  kinds = collectives.KINDS
  spent = costs.Costs(
    flops=1.2e14,
    again=3e13,
    adapter=1e13,
    adapter_again=2e12,
    hbm_bytes=3e11,
    received=dict.fromkeys(kinds, 0.0) | {"all-gather": 3e10},
    calls=dict.fromkeys(kinds, 0) | {"all-gather": 400},
    largest=dict.fromkeys(kinds, (0.0, "")) | {"all-gather": (1e9, "head")},
    from_slices=0.0,
    slice_calls=0,
  )
  shape = dataclasses.replace(ROWS, rows=rows)
  return report.Plan(
    topology="v5e:4x4",
    slices=1,
    chip=chip,
    chips=count,
    mesh={"data": 1, "fsdp": 16, "tensor": 1},
    remat="full",
    rows=shape,
    memory=report.Memory(
      1.1 * GIB, 0.2 * GIB, 0.4 * GIB, 1e8, 5 * GIB, peak, chip.hbm_bytes
    ),
    model_flops=flops.train_step(MODEL, shape, "adapter"),
    costs=spent if fits else None,
    times=report.Times(0.6 * step, 0.4 * step, 0.2 * step) if fits else None,
    compile_seconds=30.0,
  )
