"""The architecture: imports point downward, libraries stay in their folders."""

import ast
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = sorted((_ROOT / "crab_jax").rglob("*.py"))

# The layers, lowest first. What may be imported: the layer's own folder or
# file, and every layer of an earlier row.
_LAYERS = (
  ("errors", "array_types", "plotting", "processes", "sound_files"),
  ("buckets",),
  ("files",),
  ("configs",),
  ("batch",),
  ("cli", "gin_utils"),
  # What the front of a family is made of, numpy only: worker processes of the
  # data path import it and no flax.
  ("data.encodings", "data.grammar", "data.positions"),
  (
    "paradigms.encoder_projector.front_end",
    "paradigms.encoder_projector.grammar",
    "paradigms.qwen2_5_omni.front_end",
    "paradigms.qwen2_5_omni.grammar",
  ),
  ("paradigms.front",),
  ("data",),
  ("synthetic",),
  # What the device adds up of the gates; the adapter itself calls it.
  ("routers.sums",),
  ("models",),
  ("paradigms",),
  ("weights",),
  ("training",),
  ("routers",),
  ("evaluation",),
  ("annotation",),
  ("serving.shapes",),  # for whoever plans a server
  ("planning",),
  ("experiment",),
  ("serving",),
  ("ablation",),
  ("commands",),  # the files beside this one: train.py, evaluate.py ...
)
# library -> the only places that may import it
_LIBRARIES = {
  "gin": {"gin_utils.py"},
  "orbax": {
    "training/checkpoint.py",
    "training/model_folder.py",
    "training/streaming.py",
  },
  "grain": {"data/"},
  "librosa": {"paradigms/qwen2_5_omni/front_end.py"},
  "soundfile": {"sound_files.py"},
  "torch": set(),
  "tensorflow": set(),
  "transformers": set(),
}
# Calls that write, replace, lock or list: only files/ makes them. A method
# counts whatever it belongs to, `path.replace(new)` by its one argument.
_FILE_CALLS = {
  "chmod",
  "copyfile",
  "copytree",
  "fsync",
  "glob",
  "iterdir",
  "listdir",
  "makedirs",
  "mkdir",
  "mkdtemp",
  "mkstemp",
  "move",
  "removedirs",
  "rename",
  "renames",
  "rglob",
  "rmdir",
  "rmtree",
  "scandir",
  "truncate",
  "unlink",
  "utime",
  "write_bytes",
  "write_text",
}
_OS_CALLS = {"link", "open", "remove", "replace", "symlink", "walk"}
_FILE_MODULES = {"fcntl", "shutil", "tempfile"}
# (file, call) that stays outside files/, and why
_FILE_EXCEPTIONS = {
  # PyAV writes an mp4 itself, into a folder that files/ has begun.
  ("synthetic/encoding.py", "av.open"),
  # Into a file that files/ has opened.
  ("annotation/cutting.py", "av.open"),
}
_NOT_IN_MODELS = {"optax", "orbax", "grain", "absl", "gin"}


_COMMANDS = {
  "train",
  "evaluate",
  "predict",
  "prepare",
  "convert",
  "plan",
  "bench",
  "transfer",
  "annotate",
  "serve",
}
LEVELS = {name: i for i, row in enumerate(_LAYERS) for name in row}


def imports_of(path: pathlib.Path):
  """Dotted names that a file imports, anywhere in it."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _relative(path: pathlib.Path) -> str:
  return path.relative_to(_ROOT / "crab_jax").as_posix()


def layer_of(module: str) -> str:
  """The layer of a module, `models.ilora`: the longest name in the table."""
  parts = module.split(".")
  names = [".".join(parts[:size]) for size in range(len(parts), 0, -1)]
  return next((name for name in names if name in LEVELS), "commands")


def module_of(path: pathlib.Path) -> str:
  name = _relative(path).removesuffix(".py").replace("/", ".")
  return name.removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=_relative)
def test_imports_point_downward(path):
  own = layer_of(module_of(path))
  for name in imports_of(path):
    if name.startswith("crab_jax."):
      other = layer_of(name.removeprefix("crab_jax."))
      assert other == own or LEVELS[other] < LEVELS[own], name


@pytest.mark.parametrize("path", FILES, ids=_relative)
def test_data_knows_no_family(path):
  """Of `paradigms` it imports the table `front`, and the table the families."""
  if _relative(path).startswith("data/"):
    names = [n for n in imports_of(path) if n.startswith("crab_jax.paradigms")]
    assert set(names) <= {"crab_jax.paradigms.front"}


def _loaded(statement):
  """Names of what a statement imports, two parts long at most."""
  run = [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"]
  loaded = subprocess.run(run, check=True, capture_output=True, text=True)
  return {".".join(name.split(".")[:2]) for name in loaded.stdout.split()}


# Seconds each; none of them helps to answer a question.
_SLOW_IMPORTS = {
  "apache_beam", "grain", "matplotlib", "numba", "sklearn", "tensorflow",
  "tensorflow_datasets", "torch", "transformers", "wandb",
}  # fmt: skip


@pytest.mark.parametrize(
  "command", ["predict", "evaluate", "train", "plan", "serve"]
)
def test_a_command_answers_help_without_its_libraries(command):
  slow = {"jax", "flax", "orbax", "librosa", "scipy", "tensorstore"}
  assert not _loaded(f"import crab_jax.{command}") & (_SLOW_IMPORTS | slow)


def test_asking_about_a_clip_loads_no_library_in_vain():
  """The imports of `predict.main`."""
  tops = _loaded(
    "import crab_jax.data.clip, crab_jax.evaluation.clip_answers,"
    " crab_jax.evaluation.scoring.scores"
  )
  assert "jax" in tops
  assert not tops & _SLOW_IMPORTS


def test_worker_processes_of_the_data_path_load_no_flax():
  """jax and orbax they do: grain imports both where they are installed."""
  tops = _loaded("import crab_jax.data.pipeline")
  assert "crab_jax.paradigms" in tops
  assert not tops & {"flax", "optax", "crab_jax.models"}


@pytest.mark.parametrize("path", FILES, ids=_relative)
def test_libraries_stay_in_their_folders(path):
  where = _relative(path)
  for name in imports_of(path):
    library = name.split(".")[0]
    if library in _LIBRARIES:
      assert any(where.startswith(part) for part in _LIBRARIES[library]), name
    if where.split("/")[0] in ("models", "paradigms"):
      assert library not in _NOT_IN_MODELS, name


def _is_writing(call: ast.Call) -> bool:
  """Whether a call of some `open` has a mode that writes, or none to read."""
  texts = [
    argument.value
    for argument in [*call.args, *(word.value for word in call.keywords)]
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
  ]
  modes = [text for text in texts if set(text) <= set("rwaxbt+")]
  return any(set(mode) & set("wax+") for mode in modes)


def _file_calls(path: pathlib.Path):
  """Calls of a file that are for files/, as they are written."""
  for node in ast.walk(ast.parse(path.read_text())):
    if not isinstance(node, ast.Call):
      continue
    called = ast.unparse(node.func)
    owner, _, name = called.rpartition(".")
    if owner == "files":
      continue
    if (
      (name == "open" and _is_writing(node))
      or (owner and name in _FILE_CALLS)
      or (name == "replace" and len(node.args) == 1 and not node.keywords)
      or (owner == "os" and name in _OS_CALLS)
    ):
      yield called


@pytest.mark.parametrize("path", FILES, ids=_relative)
def test_only_one_package_writes_files(path):
  where = _relative(path)
  if where.startswith("files/") or where == "buckets.py":
    return
  found = {(where, call) for call in _file_calls(path)}
  assert found <= _FILE_EXCEPTIONS
  libraries = {name.split(".")[0] for name in imports_of(path)}
  assert not libraries & _FILE_MODULES


def test_the_exceptions_for_files_are_needed():
  for where, call in _FILE_EXCEPTIONS:
    assert call in set(_file_calls(_ROOT / "crab_jax" / where))


@pytest.mark.parametrize(
  "line",
  [
    "open(path, 'w')",
    "open(path, mode='ab')",
    "path.open('x', encoding='utf-8')",
    "path.write_text('a')",
    "pathlib.Path('a').replace(new)",
    "os.replace(new, path)",
    "folder.mkdir(parents=True)",
    "sorted(folder.glob('*'))",
    "shutil.rmtree(folder)",
  ],
)
def test_a_call_that_writes_is_seen(tmp_path, line):
  (tmp_path / "a.py").write_text(line)
  assert list(_file_calls(tmp_path / "a.py"))


@pytest.mark.parametrize(
  "line",
  [
    "open(path, 'rb')",
    "open(path)",
    "text.replace('a', 'w')",
    "dataclasses.replace(config, rank=1)",
    "path.read_text()",
  ],
)
def test_a_call_that_reads_is_not(tmp_path, line):
  (tmp_path / "a.py").write_text(line)
  assert not list(_file_calls(tmp_path / "a.py"))


def test_the_commands_are_the_designs():
  files = {path.stem for path in FILES if path.parent == _ROOT / "crab_jax"}
  assert files - set(LEVELS) - {"__init__"} == _COMMANDS


def test_every_folder_and_file_has_a_layer():
  names = {module_of(path).split(".")[0] for path in FILES}
  assert names - set(LEVELS) - _COMMANDS - {"__init__"} == set()


def test_gin_holds_no_python():
  """An __init__.py there would shadow the library."""
  assert not list((_ROOT / "gin").rglob("*.py"))


# Tests of several modules together, or of what is no module.
_TESTS_OF_MORE = {
  "annotation/own_data",  # from a CSV to a scored adapter
  "adapter_variants",  # every router through the package
  "architecture",
  "architecture_picture",
  "bucket_runs",  # commands on a bucket
  "evaluate_masks",  # the command with a mask model, in processes
  "colab_libraries",  # the bounds of setup.cfg
  "commands",  # what all commands have in common
  "documents",  # what they tell people to type and to open
  "gin_files",
  "own_tasks",  # a task file through every command
  "data/media/fuzz",  # damaged files of every kind
  "models/parameters",  # names, shapes and axes of the whole tree
  "paradigms/linear_family",  # a family that is only a folder
  "paradigms/encoder_projector/answers",  # commands and a server with it
  "paradigms/encoder_projector/learning",  # its preset, above chance
  "paradigms/encoder_projector/run",  # the whole path, as the family before
  "paradigms/qwen2_5_omni/unchanged",
  "planning/compiled",  # what the TPU compiler makes of the recipes
  "planning/presets",  # every recipe on every slice
  "real_clips",
  "serving/browser",  # the page
  "serving/clients",  # clients that nobody here wrote
  "serving/other_clients",
  "serving/soak",  # a server that is asked without a pause
  "survival",  # runs that are killed
  "survival_bucket",
}
_FOLDERS_OF_MORE = ("launch/", "parity/")
# Modules of some size that another test tests; the others are too small.
_TESTED_BY = {
  "annotate": "annotation/run",
  "annotation/build": "annotation/run",
  "annotation/checking/findings": "annotation/checking/checks",
  "annotation/cost_estimate": "annotation/drafting",
  "annotation/expansion": "annotation/run",
  "annotation/facts": "annotation/writer_template",
  "annotation/inspection/inventory": "annotation/inspection/inspect_source",
  "annotation/licences": "annotation/drafting",
  "annotation/media_files": "annotation/run",
  "annotation/outputs": "annotation/run",
  "annotation/placing": "annotation/run",
  "annotation/provenance": "annotation/run",
  "annotation/readers/actions": "annotation/readers/reading",
  "annotation/readers/emotions": "annotation/readers/reading",
  "annotation/readers/events": "annotation/readers/reading",
  "annotation/readers/places": "annotation/readers/reading",
  "annotation/readers/questions": "annotation/readers/reading",
  "annotation/readers/source": "annotation/readers/reading",
  "annotation/review/entries": "annotation/review/reviews",
  "annotation/review/page_file": "annotation/review/app",
  "annotation/review/session": "annotation/review/app",
  "annotation/rows": "annotation/schema",
  "annotation/settings": "annotation/run",
  "annotation/showing": "annotation/cutting",
  "annotation/teachers": "annotation/drafting",
  "annotation/teaching/asking": "annotation/drafting",
  "annotation/teaching/batches": "annotation/drafting",
  "annotation/teaching/replies": "annotation/checking/checks",
  "annotation/teaching/sending": "annotation/drafting",
  "annotation/teaching/spending": "annotation/drafting",
  "annotation/teaching/times_proposed": "annotation/weak_labels",
  "annotation/truths": "annotation/conclusions",
  "annotation/work": "annotation/drafting",
  "ablation/figures": "ablation/report",
  "ablation/run_evaluation": "ablation/run",
  "data/grammar": "data/conversation",
  "data/preparer": "data/preparation",
  "data/packed": "data/loader",  # resuming is that of its iterator
  "data/task_checks": "data/task_files",
  "evaluation/assessment": "evaluate",
  "evaluation/checkpoint_report": "evaluate",
  "experiment/stages": "experiment/run",
  "experiment/validators": "experiment/run",
  "models/sam2/hiera": "models/sam2/network",
  "models/sam2/mask_decoder": "models/sam2/network",
  "models/sam2/prompt_encoder": "models/sam2/network",
  "serving/answering": "serving/app",
  "serving/asked": "serving/protocol",
  "serving/clips": "serving/app",
  "serving/facts": "serving/app",
  "serving/failures": "serving/protocol",
  "serving/fields": "serving/protocol",
  "serving/listening": "serving/running",
  "serving/media_pool": "serving/app",
  "serving/opening": "serving/app",
  "serving/parts": "serving/protocol",
  "serving/replies": "serving/app",
  "serving/service": "serving/limiting",
  "models/scanning": "paradigms/thinker",  # what the backward pass keeps
  "paradigms/encoder_projector/clip": "parity/encoder_projector_transformers",
  "paradigms/encoder_projector/checkpoint_config": "weights/encoder_projector",
  "paradigms/encoder_projector/names": "weights/encoder_projector",
  "paradigms/front": "paradigms/network",  # the two tables agree
  "paradigms/names": "paradigms/qwen2_5_omni/names",
  "paradigms/slots": "serving/programs",
  "planning/generation_programs": "planning/generation",
  "planning/run": "plan",
  "serving/interface": "serving/engine",
  "train": "experiment/run",
  "training/mask_folder": "weights/sam2",
  "training/pmapped": "training/runner",  # both runners, the same promises
  "training/step_log": "training/trainer",
  "evaluation/masking/examples": "experiment/mask_stage",
  "training/mask_step": "experiment/mask_stage",
  "weights/sam2_config": "weights/sam2",
  "weights/sam2_names": "weights/sam2",
  "weights/base_export": "experiment/conversion",
}
_SMALL = 60  # lines


def _tests() -> set[str]:
  """`models/ilora` for tests/models/ilora_test.py."""
  folder = _ROOT / "tests"
  found = folder.rglob("*_test.py")
  return {
    path.relative_to(folder).as_posix().removesuffix("_test.py")
    for path in found
  }


def _sizes() -> dict[str, int]:
  """Lines of each module, `models/ilora`."""
  return {
    _relative(path).removesuffix(".py"): len(path.read_text().splitlines())
    for path in FILES
    if path.name != "__init__.py"
  }


def test_every_test_file_stands_for_a_module():
  alone = _tests() - set(_sizes())
  alone = {name for name in alone if not name.startswith(_FOLDERS_OF_MORE)}
  assert alone == _TESTS_OF_MORE


def test_every_module_of_some_size_has_its_tests():
  sizes, tests = _sizes(), _tests()
  assert set(_TESTED_BY.values()) <= tests
  untested = {
    name
    for name, lines in sizes.items()
    if lines > _SMALL and name not in tests
  }
  assert untested == set(_TESTED_BY)
