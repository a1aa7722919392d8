"""Prints the oldest libraries that setup.cfg allows, as constraints for pip.

python -m tests.oldest_libraries gcs > oldest.txt
pip install --constraint oldest.txt '.[gcs]'
"""

import configparser
import pathlib
import re
import sys
from collections.abc import Sequence

_SETTINGS = pathlib.Path(__file__).resolve().parents[1] / "setup.cfg"


def constraints(text: str, extras: Sequence[str] = ()) -> list[str]:
  """One line `name==bound` for each bound of `install_requires` and of extras."""
  settings = configparser.ConfigParser()
  settings.read_string(text)
  found = []
  lines = settings["options"]["install_requires"].splitlines()
  for extra in extras:
    lines += settings["options.extras_require"][extra].splitlines()
  for line in lines:
    if bound := re.fullmatch(r"([\w.-]+)(\[[\w,]+\])?>=([\w.]+)", line):
      name, _, version = bound.groups()  # a constraint names no extras
      found.append(f"{name}=={version}")
  return [*dict.fromkeys(found)]  # two extras may share one


if __name__ == "__main__":
  print("\n".join(constraints(_SETTINGS.read_text(), sys.argv[1:])))
