"""Prints the oldest libraries that setup.cfg allows, as constraints for pip.

python -m tests.oldest_libraries > oldest.txt
pip install --constraint oldest.txt .
"""

import configparser
import pathlib
import re

_SETTINGS = pathlib.Path(__file__).resolve().parents[1] / "setup.cfg"


def constraints(text: str) -> list[str]:
  """One line `name==bound` for each bound of `install_requires`."""
  settings = configparser.ConfigParser()
  settings.read_string(text)
  found = []
  for line in settings["options"]["install_requires"].splitlines():
    if bound := re.fullmatch(r"([\w.-]+)(\[[\w,]+\])?>=([\w.]+)", line):
      name, _, version = bound.groups()  # a constraint names no extras
      found.append(f"{name}=={version}")
  return found


if __name__ == "__main__":
  print("\n".join(constraints(_SETTINGS.read_text())))
