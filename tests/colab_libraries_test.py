"""What an install brings in Colab is within the bounds of setup.cfg.

Colab had Python 3.13 and jax 0.7.2 in August 2026. That jax is too old, so pip
brings another; the releases below came with it, on the same Python.
"""

import configparser
import pathlib

import pytest
from packaging import requirements
from packaging import specifiers

_SETTINGS = configparser.ConfigParser()
_SETTINGS.read(pathlib.Path(__file__).resolve().parents[1] / "setup.cfg")
_OPTIONS = _SETTINGS["options"]
_PYTHON = "3.13"
_BROUGHT = {"jax": "0.12.0.1", "numpy": "2.5.5"}


def _bound(name: str) -> specifiers.SpecifierSet:
  lines = _OPTIONS["install_requires"].splitlines()
  found = [requirements.Requirement(x) for x in lines if x and x[0] != "#"]
  (own,) = (one for one in found if one.name == name)
  return own.specifier


@pytest.mark.parametrize("name", sorted(_BROUGHT))
def test_the_bounds_allow_what_comes(name):
  assert _BROUGHT[name] in _bound(name)


def test_the_preinstalled_jax_is_replaced():
  assert "0.7.2" not in _bound("jax")


def test_its_python_is_said_to_work():
  assert _PYTHON in specifiers.SpecifierSet(_OPTIONS["python_requires"])
  assert (
    f"Programming Language :: Python :: {_PYTHON}"
    in (_SETTINGS["metadata"]["classifiers"])
  )
