"""The legend of logical axes: the names that sharding rules speak of.

Every parameter carries one name an axis (`nn.with_logical_partitioning`), and
so do the activations that decide the layout (`constrain`). A rules table in
`training.sharding` maps the names to mesh axes; a name in no rule is not
sharded. Without rules (`nn.logical_axis_rules`) or without a mesh all of this
is a no-op.

Parameters
  layers        L, the stacked layers of a scan: never worth sharding
  vocab         V, rows of the embedding table, columns of lm_head
  embed         D of the decoder
  heads         N * H, columns of q_proj, rows of o_proj
  kv_heads      K * H, columns of k_proj and v_proj
  mlp           F of the decoder
  tower_embed   D of a tower
  tower_heads   N * H of a tower
  tower_mlp     F of a tower, and what a tower's last projection reads
  patch_inputs  mel bins and patch pixels: what a tower's first layer reads
  window        the taps of a convolution
  norm          scale and bias of a norm, of any width
  rank          R of the adapter
  lora_heads    E of the adapter

Activations
  batch         B, packed rows or prompts
  length        T, tokens of a row
  act_embed     D
  act_heads     N
  act_kv_heads  K
  act_mlp       F
  act_vocab     V of the logits
  pairs         frame pairs of a row
  chunks        audio chunks of a row
  positions     patches of a pair, encoder positions of a chunk
  supervised    loss positions of a row
  cache         S, positions of a key-value cache
  lookup        B, while token embeddings are looked up in a split table
  lookup_embed  D of what is looked up there
"""

import jax
from flax import linen as nn

from crab_jax import array_types as at

PARAMETERS = (
  "layers",
  "vocab",
  "embed",
  "heads",
  "kv_heads",
  "mlp",
  "tower_embed",
  "tower_heads",
  "tower_mlp",
  "patch_inputs",
  "window",
  "norm",
  "rank",
  "lora_heads",
)
ACTIVATIONS = (
  "batch",
  "length",
  "act_embed",
  "act_heads",
  "act_kv_heads",
  "act_mlp",
  "act_vocab",
  "pairs",
  "chunks",
  "positions",
  "supervised",
  "cache",
  "lookup",
  "lookup_embed",
)


def named(init, *names: str | None):
  """An initialiser whose parameter carries the logical `names`.

  An axis without a name is never sharded.
  """
  unknown = {name for name in names if name is not None} - set(PARAMETERS)
  if unknown:
    raise ValueError(f"logical axes {sorted(unknown)} are not in the legend")
  return nn.with_logical_partitioning(init, names)


def constrain(x: at.Array, *names: str | None) -> at.Array:
  """Asks for the layout that the rules in force give to `names`."""
  unknown = {name for name in names if name is not None} - set(ACTIVATIONS)
  if unknown:
    raise ValueError(f"logical axes {sorted(unknown)} are not in the legend")
  return nn.with_logical_constraint(x, names)


def in_use(weight: at.Array, *names: str | None) -> at.Array:
  """A weight as a product reads it: together, but for its `tensor` axis.

  Without this the partitioner may leave a weight in parts and gather the
  activations of all rows instead. Call it on the cast weight, so that the
  narrow dtype travels. Rules that name no parameter leave the choice open.
  """
  # The rules of generation name activations alone.
  ruled = {name for name, _ in nn.get_logical_axis_rules()}
  return (
    nn.with_logical_constraint(weight, names) if ruled & set(names) else weight
  )


def by_device(function, inputs: tuple, output: tuple):
  """`function` on every device's own part, for what XLA cannot split itself.

  Args:
    function: of arrays; it sees the parts.
    inputs: for each argument the logical names of its dimensions.
    output: the names of the result's.
  """
  # One device, or pmap: the function already sees one device's arrays.
  if jax.sharding.get_abstract_mesh().empty:
    return function
  return jax.shard_map(
    function,
    in_specs=tuple(nn.logical_to_mesh_axes(names) for names in inputs),
    out_specs=nn.logical_to_mesh_axes(output),
    # The check needs `vma` of a Pallas kernel's results, which jax's splash
    # attention does not give.
    check_vma=False,
  )
