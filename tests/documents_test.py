"""What the documents tell people to type and to open: it is there.

Commands are compared with the flags that their files define, without running
them; the scripts of launch/ run in launch/scripts_test.py.
"""

import ast
import functools
import pathlib
import re

import pytest

from crab_jax import configs

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_DOCUMENTS = sorted(
  path.relative_to(_ROOT).as_posix()
  for pattern in ("*.md", ".github/*.md", "launch/*.md", "crab_jax/**/*.md")
  for path in _ROOT.glob(pattern)
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
# A file or folder of the repository, named from its root.
_PATH = re.compile(r"`((?:crab_jax|gin|launch|tests)/[\w./-]+)`")


def _text(name: str) -> str:
  return (_ROOT / name).read_text()


def _lines(name: str) -> list[str]:
  """Lines of code, in blocks and inline, continued ones joined."""
  text = _text(name)
  blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
  rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.M | re.S)
  inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
  return "".join(blocks).replace("\\\n", " ").splitlines() + inline


def _commands(name: str, package: str) -> list[tuple[str, list[str]]]:
  """(module below a package, words behind it) of each `python -m`."""
  found = []
  for line in _lines(name):
    for part in re.split(r"&&|\|", line.partition(" #")[0]):
      match = re.search(rf"python -m {package}\.([\w.]+)(.*)", part)
      if match:
        found.append((match[1], match[2].split()))
  return found


def _defined(tree: ast.AST) -> dict[str, str]:
  """Flag -> its kind ("bool", "string", ...) of a piece of code."""
  return {
    call.args[0].value: call.func.attr.removeprefix("DEFINE_")
    for call in ast.walk(tree)
    if isinstance(call, ast.Call)
    and isinstance(call.func, ast.Attribute)
    and call.func.attr.startswith("DEFINE_")
    and isinstance(call.args[0], ast.Constant)
  }


@functools.cache
def _flags(command: str) -> dict[str, str]:
  """Flag -> its kind, with those that `cli` defines for the command."""
  text = _text(f"crab_jax/{command}.py")
  found = _defined(ast.parse(text))
  for node in ast.parse(_text("crab_jax/cli.py")).body:
    if isinstance(node, ast.FunctionDef) and f"cli.{node.name}(" in text:
      found |= _defined(node)
  return found


def fault_of(command: str, word: str) -> str | None:
  """What is wrong with a flag of a command; None: nothing."""
  name, given, value = word.removeprefix("--").partition("=")
  known = _flags(command)
  kind = known.get(name, known.get(name.removeprefix("no")))
  if name == "help":
    return None
  if kind is None:
    return f"{command} has no --{name}"
  if (kind in ("bool", "boolean")) == bool(given):
    return f"--{name} of {command} is a {kind}"
  if name == "gin_file" and value != "..." and not (_ROOT / value).is_file():
    return f"{value} is not there"
  if name == "gin_param":
    owner, _, field = value.partition("=")[0].rpartition("/")[2].partition(".")
    if not hasattr(getattr(configs, owner, None), "__dataclass_fields__"):
      return f"configs has no {owner}"
    if field not in getattr(configs, owner).__dataclass_fields__:
      return f"{owner} has no {field}"
  return None


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_its_commands_have_the_flags_that_it_gives(name):
  faults = [
    fault
    for command, words in _commands(name, "crab_jax")
    for word in words
    if word.startswith("--") and (fault := fault_of(command, word))
  ]
  assert not faults


def test_commands_are_found_and_faults_are_told():
  assert len(_commands("README.md", "crab_jax")) > 8
  assert {"train", "prepare", "bench"} <= {
    command for name in _DOCUMENTS for command, _ in _commands(name, "crab_jax")
  }
  assert fault_of("train", "--wrokdir=x") == "train has no --wrokdir"
  assert fault_of("bench", "--data=records") == "--data of bench is a bool"
  assert fault_of("bench", "--records") == "--records of bench is a string"
  assert fault_of("train", "--gin_file=gin/no.gin") == "gin/no.gin is not there"
  assert fault_of("train", "--gin_param=ILora.rang=3") == "ILora has no rang"
  assert fault_of("train", "--gin_param=pictures/Stage.steps=3") is None


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_the_scripts_that_it_runs_are_there(name):
  for module, _ in _commands(name, "tests"):
    path = _ROOT / "tests" / f"{module.replace('.', '/')}.py"
    assert path.is_file(), module
  for line in _lines(name):
    if "pytest" in line:
      for path in re.findall(r"\btests/[\w/]+\.py", line):
        assert (_ROOT / path).is_file(), path


def _anchors(text: str) -> set[str]:
  """What GitHub makes of the headings of a document."""
  return {
    re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    for heading in re.findall(r"^#+ (.*?)\s*$", text, re.M)
  }


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_its_links_lead_somewhere(name):
  folder = (_ROOT / name).parent
  for link in (a or b for a, b in _LINK.findall(_text(name))):
    if "://" in link:
      continue
    target, _, anchor = link.partition("#")
    path = folder / target if target else _ROOT / name
    assert path.exists(), link
    assert not anchor or anchor in _anchors(path.read_text()), link


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_the_files_that_it_names_are_there(name):
  if name == "CHANGELOG.md":
    pytest.skip("it names what was there")
  for path in _PATH.findall(_text(name)):
    assert (_ROOT / path).exists(), path
