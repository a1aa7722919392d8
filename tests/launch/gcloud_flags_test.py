"""The recorded flags of gcloud are those of the program, where it is installed.

`fake_gcloud` refuses every other flag, so that a script that gives one fails in
the tests of the scripts.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_FLAGS = json.loads(
  (pathlib.Path(__file__).parent / "gcloud_flags.json").read_text()
)
_COMMANDS = [
  name for name in _FLAGS if name not in ("version", "every command")
]


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="needs gcloud")
@pytest.mark.slow
@pytest.mark.parametrize("command", _COMMANDS)
def test_recorded_flags_are_those_of_the_program(command, tmp_path):
  found = subprocess.run(
    ["gcloud", *command.split(), "--help"],
    env={**os.environ, "CLOUDSDK_CONFIG": str(tmp_path), "PAGER": "cat"},
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  plain = re.sub(r"\x1b\[[0-9;]*m", "", found)  # without bold
  theirs = set(re.findall(r"--[a-z][a-z0-9-]+", plain))
  # Later releases may have more.
  assert theirs >= {*_FLAGS[command], *_FLAGS["every command"]}


def _written() -> list[list[str]]:
  """The gcloud commands that the README gives, as words."""
  text = (_ROOT / "launch/README.md").read_text()
  blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
  inline = re.findall(r"`(gcloud [^`]+)`", text)
  lines = "".join(blocks).replace("\\\n", " ").splitlines()
  return [line.split() for line in [*lines, *inline] if line[:7] == "gcloud "]


def test_the_readme_gives_flags_that_there_are():
  found = {}
  for words in _written():
    line = " ".join(words[1:]) + " "
    names = [name for name in _COMMANDS if line.startswith(f"{name} ")]
    if names:
      name = max(names, key=len)
      found[name] = {x.split("=")[0] for x in words if x.startswith("--")}
  assert {"container node-pools create", "storage buckets create"} <= {*found}
  for name, flags in found.items():
    assert flags <= {*_FLAGS[name], *_FLAGS["every command"]}, name


@pytest.mark.parametrize("reserved", [(), ("--reserved", "--reservation=r")])
def test_every_setting_is_a_flag_of_the_command(cloud, reserved):
  done = cloud.run(
    "queued_resource.sh", "train", "--name=crab", "--zone=z", "--poll=0",
    "--slice=v5e_4", "--spot", "--internal_ips", "--network=n",
    "--subnetwork=s", "--service_account=a", "--scopes=c", "--labels=a=b",
    "--data_disk=source=d", "--valid_until=6h", *reserved, "--",
    "--gin_file=gin/base.gin", "--workdir=/mnt/crab/run",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  create = next(
    call for call in cloud.calls() if call[:2] == ["queued-resources", "create"]
  )
  assert {"--spot", "--internal-ips", "--service-account=a"} <= {*create}
  assert ("--reservation=r" in create) == bool(reserved)
  assert ('"alpha"' in (cloud.root / "calls.jsonl").read_text()) == bool(
    reserved
  )
