"""Interaction-aware LoRA: one A, several B heads, a router per token.

  y = x W + b + s * sum_e g_e (drop(x) A) B_e,   g = softmax(x R),  s = alpha/R

in the fused form: the gates multiply the rank-R code, u = (s g)[.., E, 1] *
z[.., 1, R], and one product with B [E, R, F] finishes. `update` declares the
adapter's parameters beside the kernel of the `layers.Linear` that calls it;
they are float32 and are cast to the dtype of the activations where they are
used. `configs.ILora` knows their names and shapes; `leaves` and `projections`
find them in a tree of parameters.

Router statistics cost nothing unless the caller makes one of two collections
mutable in `apply`:
  "gates"   {"gates": [.., E]} for every adapted projection, per token;
  "router"  {"sums": float32[Q, S]}, `router_sums.of_tokens` summed over the
            tokens of each of Q groups; needs `TokenContext.groups` [.., Q],
            the membership of every token (one-hot, or several: dataset and
            token kind side by side).
Inside scanned layers both get a leading layer axis.

Reference: Crab+, arXiv 2603.04128; the equation is that of HydraLoRA,
arXiv 2404.19245. Not here: merging (the update depends on the input),
balancing losses.
"""

import dataclasses
from typing import NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.extend.random import threefry2x32_p

from crab_jax import array_types as at
from crab_jax import configs
from crab_jax.models import axes
from crab_jax.models import products
from crab_jax.models import token_context
from crab_jax.routers import sums as router_sums

# A projection is adapted when its own name is one of these. "out_proj" of the
# audio tower is not, nor is the attention of the vision tower (q, k, v, proj).
TARGETS = (
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
)


class Projection(NamedTuple):
  """The matrices of an adapted projection, with layers in front if stacked."""

  a: at.Array  # [.., D, R], or [.., E, D, R]: one a head
  b: at.Array  # [.., E, R, F]
  route: at.Array | None  # [.., D, E]; None: no router

  def leaves(self, path: str) -> at.Tree:
    """The parameters of the projection at `path`, by their own paths."""
    named = {"lora_A": self.a, "lora_B": self.b, "lora_route": self.route}
    return {
      f"{path}/{name}": leaf for name, leaf in named.items() if leaf is not None
    }


def is_leaf(path: str) -> bool:
  """Whether a parameter, by its name or path "a/b/c", is the adapter's.

  Every other parameter is of the base.
  """
  return path.rpartition("/")[2].startswith("lora_")


def leaves(params: at.Tree) -> at.Tree:
  """The adapter's parameters among all, by path; arrays or shapes."""
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  return {path: leaf for path, leaf in flat.items() if is_leaf(path)}


def projections(params: at.Tree) -> dict[str, Projection]:
  """The adapted projections among all parameters, by path."""
  found = leaves(params)
  paths = dict.fromkeys(path.rpartition("/")[0] for path in found)
  return {
    path: Projection(
      a=found[f"{path}/lora_A"],
      b=found[f"{path}/lora_B"],
      route=found.get(f"{path}/lora_route"),
    )
    for path in paths
  }


def uniform_fan_in(key, shape, dtype=jnp.float32):
  """Uniform(-1/sqrt(d), 1/sqrt(d)) for shape [.., d, columns]."""
  limit = shape[-2] ** -0.5
  return jax.random.uniform(key, shape, dtype, -limit, limit)


def dropout(
  x: at.Float[at.Array, "..."], rate: float, key: at.PRNGKey
) -> at.Float[at.Array, "..."]:
  """Inverted dropout; the rate is rounded to 1/65536."""
  threshold, width = round(rate * 65536), x.shape[-1]
  # Drawing is what dropout costs: a block of Threefry has 64 bits, 16 for each
  # of four elements, one in each quarter of a row.
  blocks = (*x.shape[:-1], -(-width // 4))
  # The counter of a block is its row and column, so the draws are sharded as `x`
  # is and nothing crosses the mesh.
  row = jnp.zeros(blocks, jnp.uint32)
  for axis, size in enumerate(blocks[:-1]):
    row = row * size + jax.lax.broadcasted_iota(jnp.uint32, blocks, axis)
  column = jax.lax.broadcasted_iota(jnp.uint32, blocks, len(blocks) - 1)
  seeds = jax.random.bits(key, (2,), jnp.uint32)
  # Not `jax.random.bits`, which throws away one of a block's two words.
  words = threefry2x32_p.bind(seeds[0], seeds[1], row, column)
  quarters = [half for word in words for half in (word & 0xFFFF, word >> 16)]
  keep = jnp.concatenate([part >= threshold for part in quarters], axis=-1)
  keep = keep[..., :width]  # 4 need not divide the width
  return jnp.where(keep, x / (1 - threshold / 65536), jnp.zeros((), x.dtype))


def share_dropped(
  module: nn.Module,
  x: at.Float[at.Array, "*B D"],
  adapter: configs.ILora | None,
  context: token_context.TokenContext,
) -> token_context.TokenContext:
  """The context of projections that read `x`: with one mask if they share it."""
  if adapter is None or not adapter.shared_mask:
    return context
  if context.deterministic or not adapter.dropout:
    return context
  dropped = dropout(x, adapter.dropout, module.make_rng("dropout"))
  return dataclasses.replace(context, dropped=dropped)


def gates_of(
  logits: at.Float[at.Array, "*B E"], router: str
) -> at.Float[at.Array, "*B E"]:
  """The weights of the heads as they are applied, float32.

  The softmax over the logits; "top1" sets all but the largest to 0. What is
  left keeps its softmax value p_i and is not made 1, so that the router has a
  gradient: dp_i/dlogit_j = p_i (1[i = j] - p_j). It tells how much the winner
  should count; the other heads of the token get none. All products are
  computed as before: with few heads a gather would save nothing.

  Reference: Switch Transformer, arXiv 2101.03961, equation 2.
  """
  gates = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
  if router == "top1":
    # argmax has no gradient; of equal gates the first wins.
    gates *= jax.nn.one_hot(jnp.argmax(gates, -1), gates.shape[-1])
  return gates


def fused(
  code: at.Float[at.Array, "..."],
  gates: at.Float[at.Array, "*B E"],
  b: at.Float[at.Array, "E R F"],
  scale: float,
) -> at.Float[at.Array, "*B F"]:
  """scale * sum_e gates_e (code_e B_e); code is [*B, R], or [*B, E, R]."""
  if code.ndim == gates.ndim:
    code = code[..., None, :]  # [*B, 1, R]: one A for all heads
  # Not a part of the einsum: one of three operands makes the TPU compiler abort
  # (libtpu 0.0.42, in its algebraic simplifier).
  weighted = (gates * scale)[..., None] * code  # [*B, E, R]
  return products.project_heads(weighted, b)


def task_bias(
  biases: at.Float[at.Array, "N E"], tasks: at.Int[at.Array, "*B"] | None
) -> at.Float[at.Array, "*B E"] | at.Float[at.Array, ""]:
  """The row of every token's task; 0 for a task of -1, or where none is known.

  Args:
    biases: of the router's logits, one row a task.
    tasks: of the tokens; None: of no token.
  """
  if tasks is None:
    return jnp.zeros((), biases.dtype)
  # A product, as its gradient is one too: that of a gather adds row by row.
  chosen = jax.nn.one_hot(tasks, len(biases), dtype=biases.dtype)
  return jnp.einsum("...N,NE->...E", chosen, biases)


def record(
  module: nn.Module,
  logits: at.Float[at.Array, "*B E"],
  gates: at.Float[at.Array, "*B E"],
  groups: at.Float[at.Array, "*B Q"] | None,
) -> None:
  """Writes the gates, and their sums by group, where somebody asks for them.

  Args:
    module: the projection.
    logits: of the router.
    gates: float32, as they are applied.
    groups: membership of every token.
  """
  # `init` makes every collection mutable and would return them with "params".
  if module.is_initializing():
    return
  # By default `sow` collects a tuple; here one value is enough.
  keep = {"init_fn": lambda: None, "reduce_fn": lambda _, new: new}
  if module.is_mutable_collection("gates"):
    module.sow("gates", "gates", gates.astype(logits.dtype), **keep)
  if groups is not None and module.is_mutable_collection("router"):
    tokens = router_sums.of_tokens(logits, gates)
    tokens = tokens.reshape(-1, tokens.shape[-1])
    groups = groups.astype(jnp.float32).reshape(-1, groups.shape[-1])
    module.sow(
      "router", "sums", jnp.einsum("TS,TQ->QS", tokens, groups), **keep
    )


def update(
  module: nn.Module,
  x: at.Float[at.Array, "*B D"],
  features: int,
  names: tuple[str, str],
  adapter: configs.ILora,
  context: token_context.TokenContext = token_context.EMPTY,
) -> at.Float[at.Array, "*B F"]:
  """The adapter's part of a projection of `x` to `features` columns.

  Args:
    module: the projection, which gets the adapter's parameters.
    x: the input of the projection; the router reads it as it is.
    features: F.
    names: logical axes of the projection's input and output.
    adapter: the settings.
    context: of the tokens of x.
  """
  shapes = adapter.shapes(x.shape[-1], features)

  def weight(name, init, *logical):
    init = axes.named(init, *logical)
    # Cast before `in_use` gathers it: so the narrow dtype travels.
    value = module.param(name, init, shapes[name], jnp.float32).astype(x.dtype)
    return axes.in_use(value, *logical)

  dropped = context.dropped
  if dropped is None and adapter.dropout and not context.deterministic:
    dropped = dropout(x, adapter.dropout, module.make_rng("dropout"))
  source = x if dropped is None else dropped
  if adapter.shared_a:
    a = weight("lora_A", uniform_fan_in, names[0], "rank")
    code = jnp.einsum("...D,DR->...R", source, a)
  else:
    a = weight("lora_A", uniform_fan_in, "lora_heads", names[0], "rank")
    code = jnp.einsum("...D,EDR->...ER", source, a)
  if adapter.routes:
    route = weight("lora_route", uniform_fan_in, names[0], "lora_heads")
    logits = jnp.einsum("...D,DE->...E", x, route)
    if adapter.reads_tasks:
      # Few rows, alike on every device: an axis without a name.
      zeros = nn.initializers.zeros_init()
      biases = weight("lora_task", zeros, None, "lora_heads")
      logits += task_bias(biases, context.tasks)
    gates = gates_of(logits, adapter.router)
    record(module, logits, gates, context.groups)
    gates = gates.astype(x.dtype)
  else:
    gates = jnp.full((*x.shape[:-1], adapter.heads), 1 / adapter.heads, x.dtype)
  zeros = nn.initializers.zeros_init()
  b = weight("lora_B", zeros, "lora_heads", "rank", names[1])
  return fused(code, gates, b, adapter.scale)
