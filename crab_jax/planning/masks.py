"""What drawing masks costs on a chip: the two programs of a mask model.

Both are compiled by the TPU compiler for one chip, for a batch of pictures and
one prompt each. Rates are bounds: products at the chip's peak, or memory at its
bandwidth, whichever takes longer; no program reaches them.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from crab_jax import configs
from crab_jax.evaluation.masking import drawer
from crab_jax.evaluation.masking import prompts
from crab_jax.evaluation.scoring import masks
from crab_jax.models.sam2 import network
from crab_jax.planning import aot
from crab_jax.planning import chips
from crab_jax.planning import costs
from crab_jax.planning import hlo

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Cost:
  """One program on one chip.

  Attributes:
    name: "encode" or "decode".
    peak_bytes: of arguments, results and temporaries together.
    fits: whether the chip has so much memory.
    flops: of all products of a picture.
    seconds: a picture takes at least; None: it does not fit.
  """

  name: str
  peak_bytes: float
  fits: bool
  flops: float
  seconds: float | None


def plan(config: configs.Sam2, topology: str, batch: int) -> list[Cost]:
  """The costs of encoder and decoder.

  Raises:
    UserError: libtpu is missing, or knows no such slice.
  """
  chip, _ = chips.of_topology(topology)
  device = aot.devices(topology)[0]
  lowered = lowered_programs(config, batch, device)
  return [
    _cost(name, aot.compile_lowered(program), chip, batch)
    for name, program in lowered.items()
  ]


def lowered_programs(
  config: configs.Sam2, batch: int, device: Any
) -> dict[str, Any]:
  """The programs of `drawer` for one device; no weight is made."""
  where = jax.sharding.SingleDeviceSharding(device)

  def there(tree):
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree
    )

  size = (batch, masks.SIZE, masks.SIZE, 3)
  params = there(network.shapes(config))
  pictures = there(jax.ShapeDtypeStruct(size, np.uint8))
  prompt = there(prompts.arrays([None] * batch, config.image_size))

  def encode(params, pictures):
    return drawer.encode(config, params, pictures)

  def decode(params, encoded, prompt):
    return drawer.decode(config, params, encoded, prompt)

  encoded = there(jax.eval_shape(encode, params, pictures))
  return {
    "encode": jax.jit(encode).lower(params, pictures),
    "decode": jax.jit(decode).lower(params, encoded, prompt),
  }


def _cost(
  name: str, program: aot.Program, chip: chips.Chip, batch: int
) -> Cost:
  if not program.text:
    return Cost(name, program.peak_bytes, False, 0.0, None)
  found = costs.count(hlo.parse(program.text))
  seconds = max(found.flops / chip.flops, found.hbm_bytes / chip.hbm_bandwidth)
  fits = program.peak_bytes <= chip.hbm_bytes
  return Cost(
    name, program.peak_bytes, fits, found.flops / batch, seconds / batch
  )


def lines(found: list[Cost]) -> list[str]:
  """The plan for people."""
  told = []
  for cost in found:
    line = f"{cost.name}: {cost.peak_bytes / _GIB:.2f} GiB"
    if cost.seconds is None or not cost.fits:
      told.append(f"{line}, does not fit")
    else:
      told.append(
        f"{line}, {cost.flops / 1e12:.3f} TFLOP a picture, at most"
        f" {1 / cost.seconds:.0f} pictures/s"
      )
  return told
