"""Keys and values of the media of prompts, kept for other questions.

Media stand before the question, so prompts about one clip begin alike. What a
prompt has in common with others is known by its content: the hash of its
tokens, positions and media up to the last token of them.
"""

import collections
import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from crab_jax import array_types
from crab_jax.data import samples
from crab_jax.paradigms import slots

# glibc gives what is as large back to the system when it is freed; smaller blocks it
# keeps for the thread that had them, and others take new memory.
_BLOCK_BYTES = 32 * 2**20
_MEDIA = (array_types.TokenKind.VISION, array_types.TokenKind.AUDIO)


def length(sample: samples.Sample) -> int:
  """Tokens of a prompt up to its last one of media; 0: it has none."""
  media = np.flatnonzero(np.isin(sample["kinds"], _MEDIA))
  return int(media[-1]) + 1 if len(media) else 0


def key_of(sample: samples.Sample, reads_tasks: bool) -> bytes:
  """What two prompts share exactly when they begin alike.

  Args:
    sample: of the prompt; with media.
    reads_tasks: whether the keys also depend on the task.
  """
  size = length(sample)
  made = hashlib.sha256()
  parts = (
    sample["tokens"][:size],
    sample["positions"][:size],
    sample["frames"],
    sample["mel"],
    sample["mel_lengths"],
  )
  for part in parts:
    made.update(repr((part.shape, part.dtype.str)).encode())
    made.update(np.ascontiguousarray(part).data)
  if reads_tasks:
    made.update(repr(sample["task"]).encode())
  return made.digest()


class Prefixes:
  """The pieces that were used last.

  Args:
    limit: bytes of all of them at most.
  """

  def __init__(self, limit: int):
    self._limit, self._bytes = limit, 0
    self._pieces: collections.OrderedDict[bytes, slots.Piece]
    self._pieces = collections.OrderedDict()
    self._blocks: list[jax.Array] = []
    self.reserved = 0  # bytes that no piece needs yet

  def __len__(self) -> int:
    return len(self._pieces)

  @property
  def size(self) -> int:
    """Bytes of all pieces."""
    return self._bytes

  def reserve(self, mesh: jax.sharding.Mesh | None) -> None:
    """Takes memory for all of them, which they then get block by block.

    What a device lacks so shows at the start, and not with some later prompt.

    Args:
      mesh: over whose devices it is spread; None: the default device.
    """
    spread, ways = None, 1
    if mesh is not None:
      axes = jax.sharding.PartitionSpec(mesh.axis_names)
      spread, ways = jax.sharding.NamedSharding(mesh, axes), mesh.size
    count = max(self._limit // (_BLOCK_BYTES * ways), 1)
    size = self._limit // (count * ways) * ways
    for _ in range(count):
      # Ones: a page of zeros takes no memory before it is written to.
      self._blocks.append(jnp.ones(size, jnp.uint8, device=spread))
      self.reserved += size

  def get(self, key: bytes) -> slots.Piece | None:
    """The piece of a key, which then is the last one to go."""
    if key in self._pieces:
      self._pieces.move_to_end(key)
    return self._pieces.get(key)

  def put(self, key: bytes, piece: slots.Piece) -> None:
    """Keeps a piece; others go where there is no room for all."""
    size = bytes_of(piece)
    if key in self._pieces or size > self._limit:
      return
    while self._bytes + self.reserved + size > self._limit:
      if self._blocks:
        self.reserved -= self._blocks.pop().nbytes
      else:
        _, gone = self._pieces.popitem(last=False)
        self._bytes -= bytes_of(gone)
    self._pieces[key] = piece
    self._bytes += size


def bytes_of(piece: slots.Piece) -> int:
  """Of keys, values and mask."""
  return sum(leaf.nbytes for leaf in jax.tree.leaves(piece))
