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

_FLAGS = json.loads(
  (pathlib.Path(__file__).parent / "gcloud_flags.json").read_text()
)
_COMMANDS = [name for name in _FLAGS if "compute tpus" in name]


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
