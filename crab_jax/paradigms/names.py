"""Tables of names: tensors of a family's checkpoint, parameters of our tree.

A table lists the modules of a checkpoint, "{}" for the number of a layer, whose
tensors we stack on a leading axis; `rows` spells it out, one row a tensor name.
The order is that of torch's module tree, which is the order of an adapter file.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from crab_jax import configs
from crab_jax.models import ilora

# (tensor, our leaf, layout) of a module. How a tensor lies in our tree: "same";
# "reversed", all its axes (torch stores [out, in], and [out, in, taps] for a
# convolution); "patches", the kernel of a convolution as a matrix: [out, ...]
# -> [product of the others, out].
LINEAR = (("weight", "kernel", "reversed"), ("bias", "bias", "same"))
MATRIX = (("weight", "kernel", "reversed"),)
PATCHES = (("weight", "kernel", "patches"),)
NORM = (("weight", "weight", "same"), ("bias", "bias", "same"))
SCALE = (("weight", "weight", "same"),)

Modules = Sequence[tuple[str, tuple[tuple[str, str, str], ...]]]


@dataclasses.dataclass(frozen=True)
class Row:
  """One tensor name of the table (for stacked layers: of each layer)."""

  torch: str  # "{}" stands for the layer
  path: str  # in our tree, "a/b/c"
  layout: str  # see above

  @property
  def stacked(self) -> bool:
    return "{}" in self.torch


@dataclasses.dataclass(frozen=True)
class Described:
  """What a config.json says.

  Attributes:
    model: the model.
    tied: whether the tensors of `Checkpoint.tied` are one where one is missing.
    notes: lines for people on what is not taken over.
  """

  model: configs.Model
  tied: bool = False
  notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """How the checkpoints of a family are read.

  Attributes:
    rows: of every tensor.
    adapted: (module of torch, module of our tree) that an adapter may sit in,
      in the order of its file.
    canonical: name of a tensor in any generation of checkpoints -> in the
      table's form; None: the network does not use it.
    torch_shape: (row, our shape of one layer, `Model.vision`) -> the shape in
      the checkpoint.
    recognises: whether a config.json is of this family.
    read_config: (config.json, dtype of the weights) -> what it says. Raises
      ValueError, TypeError or AttributeError if it is another network.
    write_config: a model -> config.json. Raises ValueError if the library that
      reads it has no such network.
    tied: names of the tensors that may be one.
    beside: whether an adapter's file may hold a tensor of this name that is of
      the base.
    unread: a model -> shape of each tensor, by name, that a checkpoint has and
      the network never reads.
  """

  rows: tuple[Row, ...]
  adapted: tuple[tuple[str, str], ...]
  canonical: Callable[[str], str | None]
  torch_shape: Callable[..., tuple[int, ...]]
  recognises: Callable[[dict[str, Any]], bool]
  read_config: Callable[[dict[str, Any], str], Described]
  write_config: Callable[[configs.Model], dict[str, Any]]
  tied: tuple[str, ...] = ()
  beside: Callable[[str], bool] = lambda _: False
  unread: Callable[[configs.Model], dict[str, tuple[int, ...]]] = lambda _: {}


def rows(modules: Modules, renamed: Mapping[str, str]) -> tuple[Row, ...]:
  """A row for every tensor of a table of modules.

  Args:
    modules: the table.
    renamed: module of torch -> another name in our tree.
  """
  return tuple(
    Row(f"{module}.{torch}", f"{_path(module, renamed)}/{ours}", layout)
    for module, leaves in modules
    for torch, ours, layout in leaves
  )


def adapted(
  modules: Modules, renamed: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
  """`Checkpoint.adapted` of a table of modules."""
  return tuple(
    (module, _path(module, renamed))
    for module, _ in modules
    if module.rpartition(".")[2] in ilora.TARGETS
  )


def _path(module: str, renamed: Mapping[str, str]) -> str:
  return renamed.get(module, module).replace(".{}", "").replace(".", "/")
