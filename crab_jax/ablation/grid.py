"""The runs of a study of transfer: what each trains, on what, for how long.

A run tunes one adapter on the frozen backbone and answers held-out clips of
the datasets that it trained on. How long it trains:

  budget "samples"  until it has seen `Transfer.samples` of each of its
                    datasets: as many in a joint run as alone;
  budget "steps"    as many steps as the joint run of all datasets: training
                    alone then sees its dataset as often as it likes.

Reference: Crab+, arXiv 2603.04128: transfer of a task is joint training minus
training on the task alone.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping

from flax import linen as nn

from crab_jax import configs
from crab_jax import errors
from crab_jax.models import ilora
from crab_jax.paradigms import thinker

ALL = "all"  # label of a run with every dataset of the study


@dataclasses.dataclass(frozen=True)
class Run:
  """One training and its evaluation."""

  label: str  # "all", a dataset, a family or "family+family"
  tasks: tuple[str, ...]
  method: str  # of METHODS
  targets: str  # "reasoning" or "answer"
  seed: int
  budget: str = "samples"  # or "steps"
  rate: float | None = None  # that it tries; None: that of its arm (`rates`)
  samples: int | None = None  # of each dataset; None: those of the study

  @property
  def name(self) -> str:
    """Unique in a study; fit for a file's name."""
    name = f"{self.targets}.{self.label}.{self.method}.seed{self.seed}"
    if self.budget != "samples":
      name += f".{self.budget}"
    if self.samples is not None:
      name += f".samples{self.samples}"
    return name if self.rate is None else f"{name}.rate{self.rate:g}"

  def counted(self, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The datasets whose samples set its number of steps, of all `tasks`."""
    return tasks if self.budget == "steps" else self.tasks


def _changed(**changes) -> Callable[[configs.Model], configs.ILora]:
  return lambda model: dataclasses.replace(model.required_adapter, **changes)


def parameters(model: configs.Model) -> int:
  """Parameters of a model's adapter."""
  shapes = nn.meta.unbox(thinker.abstract(model))
  return sum(math.prod(leaf.shape) for leaf in ilora.leaves(shapes).values())


def _plain(model: configs.Model) -> configs.ILora:
  """One head: plain LoRA, no router."""
  return _changed(heads=1, router="token", shared_a=True)(model)


def _wide(model: configs.Model) -> configs.ILora:
  """Plain LoRA of the rank whose parameters come closest to the adapter's.

  Its parameters are proportional to its rank; alpha / rank stays.
  """
  thin = dataclasses.replace(_plain(model), rank=1)
  one = parameters(dataclasses.replace(model, adapter=thin))
  rank = max(round(parameters(model) / one), 1)
  alpha = model.required_adapter.scale * rank
  return dataclasses.replace(thin, rank=rank, alpha=alpha)


# Method -> the adapter that it makes of `Model.adapter`. "lora" has its rank,
# "lora_wide" its parameter count, the others its rank and, unless their name
# says otherwise, its heads.
METHODS: dict[str, Callable[[configs.Model], configs.ILora]] = {
  "lora": _plain,
  "lora_wide": _wide,
  "uniform": _changed(router="uniform", shared_a=True),
  "separate_a": _changed(router="token", shared_a=False),
  "ilora_e2": _changed(heads=2, router="token", shared_a=True),
  "ilora_e3": _changed(heads=3, router="token", shared_a=True),
  "ilora_e4": _changed(heads=4, router="token", shared_a=True),
}


def model(base: configs.Model, method: str) -> configs.Model:
  """The model that a method tunes."""
  return dataclasses.replace(base, adapter=METHODS[method](base))


def check(study: configs.Transfer, available: Mapping[str, object]) -> None:
  """Raises UserError if a study names what there is not.

  Args:
    study: the settings.
    available: datasets that have training records.
  """
  for field in ("methods", "pairs", "curves"):
    for method in getattr(study, field):
      _known(method, METHODS, f"Transfer.{field}")
  _known(study.baseline, METHODS, "Transfer.baseline")
  for task in study.tasks or ():
    _known(task, available, "Transfer.tasks")


def _known(name: str, known, field: str) -> None:
  if name not in known:
    raise errors.UserError(
      f"{field} names {name!r}; there are {', '.join(known)}"
    )


# Family -> the datasets of it that are compared, families in their order.
Groups = Mapping[str, tuple[str, ...]]


def datasets(groups: Groups) -> tuple[str, ...]:
  """All datasets compared, family by family."""
  return tuple(itertools.chain.from_iterable(groups.values()))


def runs(study: configs.Transfer, groups: Groups) -> list[Run]:
  """All runs, in the order in which they are trained.

  The comparison itself first, then its second reading, then the pairs, then
  the numbers of samples; each for one kind of targets (or method) after the
  other, seed by seed. A study that was stopped early is a smaller study: see
  `finished`.

  Args:
    study: the settings.
    groups: the datasets compared.
  """
  parts: tuple[tuple[Callable[..., Iterator[Run]], tuple], ...] = (
    (_comparison, study.targets),
    (_same_steps, study.same_steps),
    (_pairs, study.pairs),
    (_curves, study.curve_samples),
  )
  return [
    run
    for part, kinds in parts
    for kind in kinds
    for seed in study.seeds
    for run in part(study, groups, kind, seed)
  ]


def _comparison(study, groups, targets: str, seed: int):
  tasks = datasets(groups)
  for method in study.methods:
    yield Run(ALL, tasks, method, targets, seed)
  for task in tasks:
    yield Run(task, (task,), study.baseline, targets, seed)


def _same_steps(study, groups, targets: str, seed: int):
  tasks = datasets(groups)
  for task in tasks:
    yield Run(task, (task,), study.baseline, targets, seed, "steps")


def _pairs(study, groups, method: str, seed: int):
  for family, own in groups.items():
    yield Run(family, own, method, study.pair_targets, seed)
  for one, two in itertools.combinations(groups, 2):
    both = groups[one] + groups[two]
    label = f"{one}+{two}"
    yield Run(label, both, method, study.pair_targets, seed)


def _curves(study, groups, samples: int, seed: int):
  tasks = datasets(groups)
  for method in study.curves:
    for targets in study.targets:
      yield Run(ALL, tasks, method, targets, seed, samples=samples)


def finished(
  study: configs.Transfer, groups: Groups, done: Collection[Run]
) -> configs.Transfer | None:
  """The part of a study whose runs are all done.

  Its seeds are those whose comparison on the first targets is; what else there
  is stays if it is done for all of these.

  Args:
    study: the settings.
    groups: the datasets compared.
    done: runs.

  Returns:
    None: no seed is done.
  """

  def complete(part, kind, seed):
    return all(run in done for run in part(study, groups, kind, seed))

  first = study.targets[0]
  seeds = [s for s in study.seeds if complete(_comparison, first, s)]
  if not seeds:
    return None

  def whole(part, kinds):
    return tuple(k for k in kinds if all(complete(part, k, s) for s in seeds))

  targets = whole(_comparison, study.targets)
  # Its runs are of all targets, so fewer targets leave no whole curve.
  counts = whole(_curves, study.curve_samples)
  counts = counts if targets == study.targets else ()
  related = study.pair_targets in targets
  return dataclasses.replace(
    study,
    seeds=tuple(seeds),
    targets=targets,
    same_steps=whole(
      _same_steps, [t for t in study.same_steps if t in targets]
    ),
    pairs=whole(_pairs, study.pairs) if related else (),
    pair_targets=study.pair_targets if related else first,
    curves=study.curves if counts else (),
    curve_samples=counts,
  )
