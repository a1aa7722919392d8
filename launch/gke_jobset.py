#!/usr/bin/env python3
"""Starts a training on TPU slices of a GKE cluster.

Fills gke_jobset.yaml and hands it to kubectl, which must know the cluster:

  gke_jobset.py --name=crab --slice=v5e_16 --image=IMAGE --bucket=BUCKET [--spot]
    -- --gin_file=gin/base.gin --workdir=/bucket/run1

The bucket is mounted at /bucket: work directory, records, weights. With
--dry_run the filled manifest goes to stdout, its first line the command that
would read it. Only Python's standard library is needed.
"""

import argparse
import json
import pathlib
import re
import shutil
import string
import subprocess
import sys

_HERE = pathlib.Path(__file__).resolve().parent
_KUBECTL = ["kubectl", "apply", "--filename=-"]
# A value that is not given leaves its line out. `cache` stands in a volume whose
# lines are left out together.
_OPTIONAL = {"spot", "flex_start", "reservation", "service_account"}
_CACHE = "gke-gcsfuse-cache"
# Hosts write to the bucket that all of them read: nobody may remember what a
# file was, or that there was none.
_FRESH = (
  "implicit-dirs",
  "metadata-cache:ttl-secs:0",
  "metadata-cache:negative-ttl-secs:0",
)


class _Parser(argparse.ArgumentParser):
  """A parser whose errors are one line."""

  def error(self, message: str):
    _fail(f"{message} (see --help)")


def _fail(message: str):
  print(f"error: {message}", file=sys.stderr)
  sys.exit(2)


def _flags(argv: list[str]) -> argparse.Namespace:
  parser = _Parser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("--name", required=True, help="of the JobSet")
  parser.add_argument("--slice", required=True, help="a row of slices.txt")
  parser.add_argument("--image", required=True, help="see Dockerfile")
  parser.add_argument("--bucket", required=True, help="without gs://")
  parser.add_argument(
    "--service_account", help="Kubernetes account that may use the bucket"
  )
  parser.add_argument("--max_restarts", type=int, default=100)
  parser.add_argument("--slices", type=int, default=1, help="of that kind")
  parser.add_argument(
    "--cache_gb",
    type=int,
    default=0,
    help="memory of a host for what it reads: at least the records and weights"
    " of the run, as a file is fetched whole when it is first read",
  )
  had = parser.add_mutually_exclusive_group()
  had.add_argument("--spot", action="store_true", help="on Spot VMs")
  had.add_argument("--flex_start", action="store_true", help="of such a pool")
  had.add_argument("--reservation", help="of the node pool")
  parser.add_argument("--dry_run", action="store_true")
  parser.add_argument("arguments", nargs="+", help="of crab_jax.train")
  return parser.parse_args(argv)


def slices() -> dict[str, dict[str, str]]:
  """The rows of slices.txt by slice, each by the names of its columns."""
  lines = (_HERE / "slices.txt").read_text().splitlines()
  header, *rows = [line.split() for line in lines if line[:1] != "#"]
  return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def _checked(flags: argparse.Namespace) -> None:
  if {"--dry_run", "--dry-run"} & set(flags.arguments):
    _fail(
      "--dry_run after -- belongs to the training, which has no such flag; give"
      " --dry_run before --"
    )
  if flags.slice not in slices():
    _fail(f"--slice={flags.slice} is none of: {', '.join(slices())}")
  if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", flags.name):
    _fail(
      f"--name={flags.name!r} must be at most 40 lower-case letters, digits"
      " and dashes"
    )
  for name, least in (("slices", 1), ("cache_gb", 0), ("max_restarts", 0)):
    if getattr(flags, name) < least:
      _fail(f"--{name}={getattr(flags, name)} must be at least {least}")
  text = "\n".join(flags.arguments)
  if not re.search(r"^--workdir[=\n]/bucket/.", text, re.M):
    _fail(
      "the training needs a --workdir that all hosts share and that outlives"
      " the pods: /bucket/RUN, where gs://BUCKET/RUN is mounted"
    )


def _command(arguments: list[str]) -> list[str]:
  """What a pod runs: worker.sh turns a SIGTERM into an exit code of its own."""
  words = ["bash", "launch/worker.sh", "attend"]
  words += ["python", "-m", "crab_jax.train", "--distributed", *arguments]
  return [word.replace("$", "$$") for word in words]  # Kubernetes expands $(X)


def _mount_options(cache_gb: int) -> str:
  """How the bucket is mounted; records are read by ranges of their shards."""
  cached = (
    f"file-cache:max-size-mb:{1024 * cache_gb}",
    "file-cache:cache-file-for-range-read:true",
    "file-cache:enable-parallel-downloads:true",
  )
  return ",".join((*_FRESH, *(cached if cache_gb else ())))


def _values(flags: argparse.Namespace) -> dict[str, str]:
  """What is filled in, by name."""
  values = {
    **slices()[flags.slice],
    "name": json.dumps(flags.name),
    "slices": str(flags.slices),
    "image": json.dumps(flags.image),
    "bucket": json.dumps(flags.bucket),
    "mount_options": json.dumps(_mount_options(flags.cache_gb)),
    "max_restarts": str(flags.max_restarts),
    "command": json.dumps(_command(flags.arguments)),
  }
  for name in ("spot", "flex_start"):
    if getattr(flags, name):
      values[name] = '"true"'
  for name in ("service_account", "reservation"):
    if getattr(flags, name):
      values[name] = json.dumps(getattr(flags, name))
  if flags.cache_gb:
    values["cache"] = f"{flags.cache_gb}Gi"
  return values


def _without_cache(lines: list[str]) -> list[str]:
  """The template's lines without the volume of the cache."""
  start = lines.index(f"                - name: {_CACHE}")
  length = 1 + next(
    n for n, line in enumerate(lines[start + 1 :]) if "- name:" in line
  )
  return lines[:start] + lines[start + length :]


def manifest(flags: argparse.Namespace) -> str:
  """The filled template."""
  values = _values(flags)
  absent = _OPTIONAL - set(values)
  lines = [
    line
    for line in (_HERE / "gke_jobset.yaml").read_text().splitlines()
    if not line.lstrip().startswith("#")
    and not any(f"${{{name}}}" in line for name in absent)
  ]
  if "cache" not in values:
    lines = _without_cache(lines)
  return string.Template("\n".join(lines) + "\n").substitute(values)


def main(argv: list[str]) -> int:
  flags = _flags(argv)
  _checked(flags)
  text = manifest(flags)
  if flags.dry_run:
    print(f"# {' '.join(_KUBECTL)}\n{text}", end="")
    return 0
  if shutil.which(_KUBECTL[0]) is None:
    _fail("kubectl is not on the PATH; install it, or use --dry_run")
  code = subprocess.run(_KUBECTL, input=text, text=True).returncode
  if code:
    print(f"error: kubectl apply failed (exit code {code})", file=sys.stderr)
  return code


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
