"""What stands before a module's name in adapter files of several trainers.

PEFT and the official code wrap the thinker twice (`base_model.model.`),
ms-swift trains it inside the whole model (`thinker.`), LLaMA-Factory alone;
data parallelism and torch.compile add wrappers of their own.
"""

import collections
import re
from collections.abc import Collection

from crab_jax.paradigms import names as table

EXPECTED = "base_model.model."
_WRAPPERS = (EXPECTED, "module.", "_orig_mod.")
_NUMBERED = re.compile(r"(?:^|\.)\d+\.")


def unwrapped(name: str) -> str:
  """A tensor's name in the model that a trainer wrapped."""
  before = None
  while before != name:
    before = name
    for wrapper in _WRAPPERS:
      name = name.removeprefix(wrapper)
  return name


def canonical(name: str, checkpoint: table.Checkpoint) -> str | None:
  """A tensor's name in the form of the table; None: the network has no use."""
  return checkpoint.canonical(unwrapped(name))


def wrong(found: Collection[str], checkpoint: table.Checkpoint) -> str | None:
  """Which prefixes keep adapter tensors from being known; None: none does.

  Args:
    found: names in the table's form as far as they are known.
    checkpoint: the table.
  """
  stacks = {module.partition(".{}.")[0] for module, _ in checkpoint.adapted}
  inside = re.compile(
    rf"^(.+?\.)(?:{'|'.join(map(re.escape, sorted(stacks)))})\.\d+\."
  )
  prefixes: collections.Counter[str] = collections.Counter()
  complete = True
  for name in found:
    if "lora_" not in name or name.startswith(tuple(f"{x}." for x in stacks)):
      continue
    if hit := inside.match(name):
      prefixes[hit[1]] += 1
    elif hit := _NUMBERED.search(name):
      complete = False
      prefixes[name[: hit.start()] + "."] += 1
  if not prefixes:
    return None
  expected = [EXPECTED] if complete else [f"{EXPECTED}{x}." for x in stacks]
  spelt = " and ".join(
    f"{count} tensors begin with {prefix!r}"
    for prefix, count in prefixes.most_common(3)
  )
  return f"{spelt}; expected is {' or '.join(map(repr, sorted(expected)))}"
