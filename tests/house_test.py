"""The house: imports point downward, libraries stay in their rooms."""

import ast
import pathlib

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_FILES = sorted((_ROOT / "crab_jax").rglob("*.py"))

# What each room may import of crab_jax; a room may always import itself.
_GROUND = {"configs", "array_types", "errors"}
_BELOW = {
  "configs": set(),
  "array_types": set(),
  "errors": set(),
  "doors": {"errors"},
  "gin_utils": _GROUND,
  "synthetic": _GROUND | {"data"},
  "data": _GROUND,
  "models": _GROUND,
  "weights": _GROUND | {"models", "training"},
  "training": _GROUND | {"models", "data"},
  "planning": _GROUND | {"models", "data", "training", "evaluation"},
  "evaluation": _GROUND | {"models", "data", "training", "weights"},
  "experiment": _GROUND
  | {"models", "data", "training", "weights", "evaluation", "synthetic"},
  "ablation": _GROUND
  | {"models", "data", "training", "weights", "evaluation", "experiment"},
}
# library -> the only places that may import it
_LIBRARIES = {
  "gin": {"gin_utils.py"},
  "orbax": {
    "training/checkpoint.py",
    "training/model_folder.py",
    "training/streaming.py",
  },
  "grain": {"data/"},
  "librosa": {"data/media.py", "data/features.py"},
  "torch": set(),
  "tensorflow": set(),
  "transformers": set(),
}
_NOT_IN_MODELS = {"optax", "orbax", "grain", "absl", "gin"}


def _imports(path: pathlib.Path):
  """Dotted names that a file imports, anywhere in it."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _place(path: pathlib.Path) -> str:
  return path.relative_to(_ROOT / "crab_jax").as_posix()


def _room(place: str) -> str:
  return place.split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("path", _FILES, ids=_place)
def test_imports_point_downward(path):
  room = _room(_place(path))
  allowed = _BELOW.get(room)  # the doors may import all
  if allowed is None:
    return
  ours = (name for name in _imports(path) if name.startswith("crab_jax."))
  rooms = {name.split(".")[1] for name in ours}
  assert rooms <= allowed | {room}


@pytest.mark.parametrize("path", _FILES, ids=_place)
def test_libraries_stay_in_their_rooms(path):
  place = _place(path)
  for name in _imports(path):
    library = name.split(".")[0]
    if library in _LIBRARIES:
      assert any(place.startswith(room) for room in _LIBRARIES[library]), name
    if _room(place) == "models":
      assert library not in _NOT_IN_MODELS, name


def test_the_door_names_are_the_designs():
  doors = {path.stem for path in _FILES if path.parent == _ROOT / "crab_jax"}
  ground = _GROUND | {"doors", "gin_utils", "__init__"}
  known = {"train", "evaluate", "predict", "prepare", "convert", "plan"}
  assert doors - ground <= known | {"bench", "transfer"}


def test_gin_holds_no_python():
  """An __init__.py there would shadow the library."""
  assert not list((_ROOT / "gin").rglob("*.py"))
