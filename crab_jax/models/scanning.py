"""Depth by scan: one stacked tree a stack of layers, rematerialised or not.

`Model.remat` (of the towers: `Model.tower_remat`) says what the backward pass
keeps of a layer besides its input:
"none"        everything; the layers are unrolled, which suits a small model;
"full"        nothing: the layer runs again;
"projections" the outputs of its projections, tagged by `layers.Linear`, and
              what splash attention hands to its own backward pass.
"""

import jax
from flax import linen as nn

from crab_jax.models import splash

# The names that `layers.Linear` and splash attention give to their outputs.
PROJECTIONS = (
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
  "q",
  "k",
  "v",
  "proj",
  "out_proj",
  "fc1",
  "fc2",
  splash.RESIDUALS,
)


def stack(
  layer: type[nn.Module],
  remat: str,
  length: int,
  in_axes: tuple,
) -> type[nn.Module]:
  """`layer` repeated `length` times, its parameters stacked on axis 0.

  Args:
    layer: a module whose call maps (x, *inputs) to (x, out).
    remat: "none", "full" or "projections", see above.
    length: number of layers.
    in_axes: for each of `inputs`, 0 (a slice a layer) or `nn.broadcast`.
  """
  if remat != "none":
    policy = None
    if remat == "projections":
      policy = jax.checkpoint_policies.save_only_these_names(*PROJECTIONS)
    # Inside a scan the barrier against common subexpression elimination has
    # costs and no use (`jax.checkpoint`).
    layer = nn.remat(layer, prevent_cse=False, policy=policy)
  return nn.scan(
    layer,
    # What `ilora.record` writes gets a layer axis in front, like parameters.
    variable_axes={"params": 0, "gates": 0, "router": 0},
    split_rngs={"params": True, "dropout": True},
    in_axes=in_axes,
    length=length,
    unroll=length if remat == "none" else 1,
    # The logical name of the new axis.
    metadata_params={nn.PARTITION_NAME: "layers"},
  )
