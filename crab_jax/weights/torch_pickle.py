"""The pickle inside torch.save's file: followed without executing it, made.

`pickletools` splits a pickle into opcodes, and a stack of plain values follows
the few that a flat dict of tensors needs. The only names it may mention are
torch's two functions that rebuild a tensor, three storage types and
OrderedDict; none of them is imported or called. Everything else is refused.

Reference: torch.serialization and torch._weights_only_unpickler of torch 2.13.
"""

import dataclasses
import pickletools
import struct
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np

_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_ORDERED_DICT = "collections OrderedDict"
STORAGES = {
  "torch BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
  "torch HalfStorage": np.dtype(np.float16),
  "torch FloatStorage": np.dtype(np.float32),
}
_NAMES = {*STORAGES, _TENSOR, _PARAMETER, _ORDERED_DICT}

# (key, dtype, number of elements) -> the elements, one axis.
Load = Callable[[str, np.dtype, int], np.ndarray]


class Refused(Exception):
  """The pickle holds something else than a flat dict of tensors."""


@dataclasses.dataclass(frozen=True)
class _Name:
  """A name of another module: mentioned, never looked up."""

  name: str


_MARK = _Name("mark")


def follow(
  pickle: bytes, load: Load, inside: str | None = None
) -> dict[str, np.ndarray]:
  """The dict of tensors that a pickle describes, as views of what `load` gives.

  Args:
    pickle: followed and not executed.
    load: gives the elements of a storage.
    inside: the name under which that dict lies in another one, if it does.

  Raises:
    Refused: it describes anything else.
    ValueError, LookupError, TypeError: it is damaged.
  """
  found = follow_tree(pickle, load)
  if isinstance(found.get(inside), dict):
    found = found[inside]
  for name, tensor in found.items():
    if not isinstance(name, str) or not isinstance(tensor, np.ndarray):
      raise Refused(f"{str(name)[:80]!r} is not the name of a tensor")
  return found


def follow_tree(pickle: bytes, load: Load) -> dict[Any, Any]:
  """The dict that a pickle describes: of tensors, plain values and such dicts.

  Raises:
    Refused: it describes anything else.
    ValueError, LookupError, TypeError: it is damaged.
  """
  stack: list[Any] = []
  memo: dict[int, Any] = {}
  for opcode, argument, _ in pickletools.genops(pickle):
    if opcode.name == "STOP":
      break
    _step(opcode.name, argument, stack, memo, load)
  found = stack.pop()
  if not isinstance(found, dict):
    raise Refused("it holds no dict")
  return found


def _step(opcode: str, argument: Any, stack: list, memo: dict, load: Load):
  """Follows one opcode."""
  match opcode:
    case "PROTO" | "FRAME":
      pass
    case "BINUNICODE" | "SHORT_BINUNICODE":
      stack.append(argument)
    case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
      stack.append(argument)
    case "NEWTRUE" | "NEWFALSE" | "NONE":
      stack.append({"NEWTRUE": True, "NEWFALSE": False}.get(opcode))
    case "MARK":
      stack.append(_MARK)
    case "EMPTY_DICT":
      stack.append({})
    case "EMPTY_TUPLE":
      stack.append(())
    case "TUPLE1" | "TUPLE2" | "TUPLE3":
      count = int(opcode[-1])
      stack[-count:] = [tuple(stack[-count:])]
    case "TUPLE":
      stack.append(tuple(_since_mark(stack)))
    case "BINPUT" | "LONG_BINPUT":
      memo[argument] = stack[-1]
    case "MEMOIZE":
      memo[len(memo)] = stack[-1]
    case "BINGET" | "LONG_BINGET":
      stack.append(memo[argument])
    case "GLOBAL":
      stack.append(_name(argument))
    case "STACK_GLOBAL":
      module, name = stack.pop(-2), stack.pop()
      stack.append(_name(f"{module} {name}"))
    case "BINPERSID":
      stack.append(_storage(stack.pop(), load))
    case "REDUCE":
      arguments = stack.pop()
      stack.append(_rebuild(stack.pop(), arguments))
    case "SETITEM" | "SETITEMS":
      pairs = [stack.pop(-2), stack.pop()]
      if opcode == "SETITEMS":
        stack += pairs
        pairs = _since_mark(stack)
      _set(stack[-1], dict(zip(pairs[::2], pairs[1::2], strict=True)), pairs)
    case "BUILD":
      stack.pop()  # the attributes of a state dict; it has none that we need
    case _:
      raise Refused(f"its pickle uses {opcode}")


def _since_mark(stack: list) -> list:
  """Takes what lies above the last mark."""
  found = []
  while (top := stack.pop()) is not _MARK:
    found.append(top)
  return found[::-1]


def _set(found: dict, new: dict, pairs: list) -> None:
  if 2 * len(new) < len(pairs) or found.keys() & new.keys():
    raise Refused("it sets a name twice")
  found.update(new)


def _name(name: str) -> _Name:
  if name not in _NAMES:
    raise Refused(f"it mentions {name.replace(' ', '.')[:80]}")
  return _Name(name)


def _storage(identity: Any, load: Load) -> np.ndarray:
  """The elements of a storage: ("storage", type, key, place, elements)."""
  kind, storage, key, _, size = identity
  dtype = STORAGES.get(getattr(storage, "name", ""))
  if kind != "storage" or dtype is None:
    raise Refused("it refers to something that is no storage")
  return load(str(key), dtype, int(size))


def _rebuild(function: Any, arguments: tuple) -> Any:
  """What the function of that name would make."""
  match getattr(function, "name", None):
    case "collections OrderedDict" if arguments == ():
      return {}
    case "torch._utils _rebuild_parameter":
      return arguments[0]
    case "torch._utils _rebuild_tensor_v2":
      return _view(*arguments[:4])
  raise Refused("it calls something that rebuilds no tensor")


def _view(
  storage: np.ndarray, offset: int, shape: tuple, strides: tuple
) -> np.ndarray:
  """A strided view that stays inside its storage."""
  numbers = (offset, *shape, *strides)
  if len(shape) != len(strides) or any(
    type(number) is not int or number < 0 for number in numbers
  ):
    raise Refused("a tensor has no proper shape")
  last = offset + sum(
    (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
  )
  if 0 not in shape and last >= storage.size:
    raise Refused("a tensor reaches beyond its storage")
  return np.lib.stride_tricks.as_strided(
    storage[offset:],
    shape,
    [stride * storage.itemsize for stride in strides],
    writeable=False,
  )


def make(tensors: Iterable[tuple[str, np.dtype, tuple[int, ...]]]) -> bytes:
  """The pickle of a dict of contiguous tensors; tensor N is storage "N".

  Args:
    tensors: name, dtype and shape of each, in order.
  """
  parts = [b"\x80\x02}("]  # protocol 2, an empty dict, a mark
  for key, (name, dtype, shape) in enumerate(tensors):
    parts += [_text(name), _tensor(str(key), dtype, shape)]
  return b"".join(parts) + b"u."


def _tensor(key: str, dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
  storage = {made: name for name, made in STORAGES.items()}[dtype]
  strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
  persistent = b"".join(
    [
      b"(",
      _text("storage"),
      _global(storage),
      _text(key),
      _text("cpu"),
      _integer(int(np.prod(shape))),
      b"tQ",
    ]
  )
  hooks = _global(_ORDERED_DICT) + b")R"
  return b"".join(
    [
      _global(_TENSOR),
      b"(",
      persistent,
      _integer(0),
      _integers(shape),
      _integers(strides),
      b"\x89",  # requires_grad=False
      hooks,
      b"tR",
    ]
  )


def _text(text: str) -> bytes:
  data = text.encode()
  return b"X" + struct.pack("<I", len(data)) + data


def _global(name: str) -> bytes:
  return b"c" + name.replace(" ", "\n").encode() + b"\n"


def _integer(number: int) -> bytes:
  if number < 2**31:
    return b"J" + struct.pack("<i", number)
  data = number.to_bytes(8, "little", signed=True)
  return b"\x8a" + bytes([len(data)]) + data


def _integers(numbers: Iterable[int]) -> bytes:
  return b"(" + b"".join(_integer(number) for number in numbers) + b"t"
