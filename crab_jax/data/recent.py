"""The results of the last calls of a function, up to so many bytes."""

import collections
from collections.abc import Callable
from collections.abc import Hashable
from typing import Generic
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
  """A function of one argument that keeps what it gave last.

  Args:
    make: gives the value of a key.
    size: the bytes of a value.
    limit: bytes to keep at most; what alone is larger is not kept.
  """

  def __init__(
    self,
    make: Callable[[Key], Value],
    size: Callable[[Value], int],
    limit: int,
  ):
    self._make, self._size, self._limit = make, size, limit
    self._kept: collections.OrderedDict[Key, Value] = collections.OrderedDict()
    self._used = 0

  def __call__(self, key: Key) -> Value:
    if key in self._kept:
      self._kept.move_to_end(key)
      return self._kept[key]
    value = self._make(key)
    size = self._size(value)
    if size <= self._limit:
      self._kept[key] = value
      self._used += size
    # By bytes and not by number, as `functools.lru_cache` counts: one clip may
    # be a thousand times as long as another.
    while self._used > self._limit:
      _, oldest = self._kept.popitem(last=False)
      self._used -= self._size(oldest)
    return value
