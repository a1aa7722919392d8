"""What training reads, made before it starts: records and a tokenizer.

Several hosts first make sure that they were started alike; one of them then
does the work, and all see the same folder.
"""

import dataclasses
import importlib.metadata
import json

import jax

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.data import preparation
from crab_jax.data import prepared_records
from crab_jax.data import prompts
from crab_jax.data import records
from crab_jax.data import samples
from crab_jax.data import task_files
from crab_jax.data import tasks
from crab_jax.data import tokenizer as tokenizers
from crab_jax.evaluation.reading import references
from crab_jax.paradigms import front
from crab_jax.synthetic import build
from crab_jax.training import compilation
from crab_jax.training import hosts
from crab_jax.training import model_folder
from crab_jax.weights import base as base_lib


@dataclasses.dataclass(frozen=True)
class Workspace:
  """The folders of a run, and the tokenizer of its records."""

  workdir: files.Path
  records: prepared_records.Prepared
  tokenizer: tokenizers.Tokenizer


def prepare(
  experiment: configs.Experiment,
  workdir: files.Path,
  config_text: str,
  given: tasks.Tasks | None = None,
) -> Workspace:
  """Makes what training reads: records and a tokenizer.

  Args:
    experiment: the settings.
    workdir: the folder of the run; several hosts must see the same.
    config_text: the configuration in force, kept beside the results.
    given: the table of the command's task file; None: it has none.

  Raises:
    UserError: whatever a user can cause.
  """
  _meet(config_text, experiment.hosts.start)
  # Before the data are prepared, which may take hours.
  if experiment.base is not None:
    model_folder.require_same_network(
      files.path(experiment.base), experiment.model
    )
  with hosts.first_then_others("preparation"):
    _begin(workdir, config_text)
    prepared = _records(experiment, workdir, given)
    workspace = Workspace(
      workdir, prepared, _tokenizer(experiment, workdir, prepared)
    )
  # Names and sizes: hosts that see different folders would train on different
  # orders and know nothing of it.
  manifest = records.manifest(prepared.root)
  rows = json.dumps(task_files.to_json(prepared.table))
  facts = {"data manifest": manifest, "table of tasks": rows}
  hosts.compare("data", facts, experiment.hosts.start)
  compilation.keep_for_workdir(experiment.compiled, workdir / "compiled")
  return workspace


def _meet(config_text: str, seconds: int) -> None:
  """Stops hosts that were not started alike, before they wait for each other.

  Raises:
    UserError: two hosts differ; names what differs.
  """
  versions = {
    f"version of {name}": importlib.metadata.version(name)
    for name in ("crab_jax", "jax", "jaxlib")
  }
  hosts.compare(
    "start",
    {
      "number of hosts": str(hosts.count()),
      **versions,
      "configuration": config_text,
    },
    seconds,
  )
  # Devices start only here, where hosts wait for each other: so those of other
  # versions are found before.
  devices = {"kind of device": jax.local_devices()[0].device_kind}
  devices["number of devices"] = str(jax.local_device_count())
  hosts.compare("devices", devices, seconds)


def _begin(workdir: files.Path, config_text: str) -> None:
  try:
    files.make_folder(workdir)
    if hosts.is_first():
      files.write_text(workdir / "config.gin", config_text)
  except OSError as error:
    raise errors.UserError(f"cannot write to {workdir}: {error}") from error


def _records(
  experiment: configs.Experiment,
  workdir: files.Path,
  given: tasks.Tasks | None,
) -> prepared_records.Prepared:
  """The records; the first host makes the embedded world's."""
  if experiment.records is not None:
    return _with_base(
      experiment, prepared_records.read(experiment.records, given)
    )
  root = workdir / "records"
  if hosts.is_first():
    assert experiment.world is not None  # there are no records
    build.write(workdir / "world", experiment.world)
    preparation.prepare(
      workdir / "world" / build.FOLDER,
      root,
      config=experiment.preparation,
      table=build.table(experiment.world),
      check=references.has_object,
    )
  elif not root.is_dir():
    raise errors.UserError(
      f"{root}, which the first host made, is not on host {hosts.index()}: all"
      " hosts must see the same --workdir"
    )
  return _with_base(experiment, prepared_records.read(root, given))


def _with_base(
  experiment: configs.Experiment, prepared: prepared_records.Prepared
) -> prepared_records.Prepared:
  """The records, their table with the tasks that the base was trained on."""
  if experiment.base is None:
    return prepared
  base = files.path(experiment.base)
  table = prepared.table.joined(
    task_files.read(base / task_files.FILE),
    f"the records {prepared}",
    f"the checkpoint {base}",
  )
  return dataclasses.replace(prepared, table=table)


def _tokenizer(
  experiment: configs.Experiment,
  workdir: files.Path,
  prepared: prepared_records.Prepared,
) -> tokenizers.Tokenizer:
  """The given tokenizer, that of the base, or one trained on the records."""
  grammar = front.of(experiment.model).grammar
  path = workdir / base_lib.TOKENIZER
  given = _given_tokenizer(experiment)
  if given is not None and hosts.is_first():
    files.copy(given, path)
  if not path.exists() and hosts.is_first():
    wording = prompts.load(experiment.data.prompts, prepared.table)
    found = (
      record
      for task in prepared.splits()
      for record in records.read_split(prepared.root, task, "train")
    )
    texts = samples.training_texts(found, wording, grammar)
    size = experiment.model.decoder.vocabulary
    tokenizers.train(texts, size, grammar).save(path)
  return tokenizers.load(path, grammar)


def _given_tokenizer(experiment: configs.Experiment) -> files.Path | None:
  """The tokenizer.json of the settings or else of the base; None: none.

  Raises:
    UserError: the two differ, or there is a base and no tokenizer for it.
  """
  name = experiment.data.tokenizer
  given = None if name is None else files.path(name)
  if experiment.base is None:
    return given
  of_base = files.path(experiment.base) / base_lib.TOKENIZER
  if given is None:
    if not of_base.is_file():
      raise errors.UserError(
        f"{of_base} is missing: set Data.tokenizer to the tokenizer that the"
        " base was trained with"
      )
    return of_base
  if of_base.is_file():
    grammar = front.of(experiment.model).grammar
    ours, theirs = (tokenizers.load(path, grammar) for path in (given, of_base))
    if difference := ours.difference(theirs):
      raise errors.UserError(
        f"Data.tokenizer={given} is not the tokenizer of the base, {of_base}:"
        f" {difference}"
      )
  return given
