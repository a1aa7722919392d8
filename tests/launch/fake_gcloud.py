"""Stands in for `gcloud`: records its arguments and plays a small TPU service.

The folder of the environment variable FAKE_CLOUD holds all of it:
  scenario.json  what will happen, see `conftest.Cloud`
  calls.jsonl    the arguments of every call
  queue.json     the request that is there: its number, how often it was asked
  hosts/N        home folder of host N, while there is a slice
`ssh` runs the command here, in the home of each host it is meant for; hosts of
Compute Engine are NAME-0, NAME-1, ... A flag
that the real program does not have is refused: gcloud_flags.json lists them.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

CLOUD = pathlib.Path(os.environ["FAKE_CLOUD"])
SCENARIO = json.loads((CLOUD / "scenario.json").read_text())
FLAGS = json.loads(
  (pathlib.Path(__file__).parent / "gcloud_flags.json").read_text()
)
QUEUE = CLOUD / "queue.json"
HOSTS = CLOUD / "hosts"


def error(message: str, code: int = 1):
  print(f"ERROR: (gcloud) {message}", file=sys.stderr)
  sys.exit(code)


def flag(name: str) -> str | None:
  for argument in sys.argv:
    if argument.startswith(f"--{name}="):
      return argument.partition("=")[2]
  return None


def boot() -> None:
  for host in range(SCENARIO["hosts"]):
    (HOSTS / str(host)).mkdir(parents=True)


def halt() -> None:
  """Ends what runs on the hosts, and the hosts."""
  for pid in HOSTS.glob("*/.crab_jax/pid"):
    try:
      os.killpg(int(pid.read_text()), signal.SIGKILL)
    except ProcessLookupError:
      continue
  shutil.rmtree(HOSTS, ignore_errors=True)


def chosen(name: str) -> list[pathlib.Path]:
  """The homes of the hosts that a call is meant for."""
  if not HOSTS.exists():
    error("NOT_FOUND: Resource was not found")
  if "tpus" not in sys.argv:
    return [HOSTS / name.rpartition("-")[2]]
  worker = flag("worker")
  return sorted(HOSTS.iterdir()) if worker == "all" else [HOSTS / worker]


def positional() -> list[str]:
  """The words after the command that are no flags."""
  return [word for word in arguments() if not word.startswith("--")]


def ssh() -> int:
  codes = []
  for home in chosen(positional()[0]):
    codes.append(
      subprocess.run(
        ["bash", "-c", flag("command")],
        cwd=home,
        env={**os.environ, "HOME": str(home), "PATH": SCENARIO["host_path"]},
        stdin=subprocess.DEVNULL,
      ).returncode
    )
  return next((code for code in codes if code), 0)


def scp() -> int:
  source, target = positional()
  name, _, path = target.partition(":")
  for home in chosen(name):
    shutil.copy(source, home / path)
  return 0


def wait_for_trainings(lives: int) -> None:
  """A slice is not taken before a training on it has begun."""
  for pid in HOSTS.glob("*/.crab_jax/pid"):
    starts = CLOUD / f"starts-{pid.parents[1].name}"
    while not starts.exists() or starts.read_text().count("\n") < lives:
      time.sleep(0.05)


def queue_create() -> int:
  if QUEUE.exists():
    error("ALREADY_EXISTS: Resource already exists")
  lives = CLOUD / "lives"
  life = int(lives.read_text()) if lives.exists() else 0
  lives.write_text(str(life + 1))
  QUEUE.write_text(json.dumps({"life": life, "asked": 0}))
  return 0


def queue_describe() -> int:
  if not QUEUE.exists():
    error("NOT_FOUND: Resource was not found")
  queue = json.loads(QUEUE.read_text())
  if flag("format") == "value(state)":
    print("state=FAILED;error=no such luck")
    return 0
  states = SCENARIO["states"][min(queue["life"], len(SCENARIO["states"]) - 1)]
  state = states[min(queue["asked"], len(states) - 1)]
  QUEUE.write_text(json.dumps({**queue, "asked": queue["asked"] + 1}))
  if state.startswith("ACTIVE") and not HOSTS.exists():
    boot()
  if state != "ACTIVE":  # in ACTIVE-PREEMPTED the node knows first
    wait_for_trainings(queue["life"] + 1)
    halt()
  print(state.partition("-")[0])
  return 0


def queue_delete() -> int:
  if not QUEUE.exists():
    error("NOT_FOUND: Resource was not found")
  halt()
  QUEUE.unlink()
  return 0


def node_describe() -> int:
  print("READY" if HOSTS.exists() else "PREEMPTED")
  return 0


def node_delete() -> int:
  halt()
  return 0


def group_resize() -> int:
  assert int(flag("size")) == SCENARIO["hosts"]
  boot()
  return 0


def group_list() -> int:
  hosts = sorted(HOSTS.iterdir()) if HOSTS.exists() else []
  print("\n".join(f"{positional()[0]}-{host.name}" for host in hosts))
  return 0


def project() -> int:
  print("the-project")
  return 0


# Those that are not here do nothing.
COMMANDS = {
  "tpu-vm create": lambda: boot() or 0,
  "tpu-vm delete": node_delete,
  "tpu-vm describe": node_describe,
  "tpu-vm ssh": ssh,
  "tpu-vm scp": scp,
  "ssh": ssh,
  "scp": scp,
  "queued-resources create": queue_create,
  "queued-resources describe": queue_describe,
  "queued-resources delete": queue_delete,
  "instance-groups managed resize": group_resize,
  "instance-groups managed list-instances": group_list,
  "instance-groups managed delete": node_delete,
}


def command() -> str:
  """The recorded command that is called, the release included."""
  line = " ".join(sys.argv[1:]) + " "
  found = [name for name in FLAGS if line.startswith(f"{name} ")]
  if not found:
    error(f"Invalid choice: {line}", 2)
  return max(found, key=len)


def arguments() -> list[str]:
  return sys.argv[1 + len(command().split()) :]


def main() -> int:
  if sys.argv[1:] == ["config", "get-value", "project"]:
    return project()
  with (CLOUD / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\n")
  known = FLAGS[command()] + FLAGS["every command"]
  for word in arguments():
    if word.startswith("--") and word.partition("=")[0] not in known:
      error(f"unrecognized arguments: {word}", 2)
  line = re.sub(
    r"^((alpha|beta) )?compute (tpus )?", "", " ".join(sys.argv[1:])
  )
  for pattern, (code, message) in SCENARIO["failures"].items():
    if re.search(pattern, line):
      error(message, code)
  name = re.sub(r"^((alpha|beta) )?compute (tpus )?", "", command())
  return COMMANDS.get(name, lambda: 0)()


if __name__ == "__main__":
  sys.exit(main())
