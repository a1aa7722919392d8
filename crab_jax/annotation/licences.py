"""What is known of the terms of the sets, and where their clips may be sent.

Of some sets the terms forbid to upload samples or to publish what is derived:
a teacher on another machine is refused for these, unless `--allow_remote` names
the set, which the provenance then tells.
"""

import ipaddress
import urllib.parse
from collections.abc import Collection
from collections.abc import Iterable

from crab_jax import errors

# set -> the terms that were found; looked up in 2026, of copies of the sources
TERMS = {
  "mer24": "EULA: academic use only, samples must not be edited or uploaded",
  "mafw": "non-commercial research; neither clips nor derived data published",
  "dfew": "by agreement; treated as mafw",
  "cremad": "ODbL 1.0, contents DbCL: a derived database is shared alike",
  "meld": "GPL-3.0 on copies; clips of a TV series: texts yes, media no",
  "avqa": "LICENSE says MIT, README says GPL-3.0: contradictory",
  "avvp": "annotations GPL-3.0; the media are of YouTube",
  "unav": "annotations MIT; the media are of YouTube",
  "ref_avs": "annotations MIT; the media are of YouTube",
  "s4": "annotations Apache-2.0; the media are of YouTube",
  "ms3": "annotations Apache-2.0; the media are of YouTube",
  "arig": "annotations Apache-2.0; the media are of YouTube",
  "avcap": "VALOR: MIT; the media are of YouTube",
  "ave": "no licence file",
}
RESTRICTED = ("mer24", "mafw", "dfew")
UNPUBLISHED = "the texts are not to be published"


def host(url: str) -> str:
  """The machine of an endpoint.

  Raises:
    UserError: it is no URL.
  """
  try:
    parts = urllib.parse.urlsplit(url)
    name = parts.hostname
  except ValueError:
    name = None
  if not name or parts.scheme not in ("http", "https"):
    raise errors.UserError(f"--teacher={url}: it should be http://host/v1")
  return name


def is_local(name: str, local_hosts: Collection[str]) -> bool:
  """Whether a host is this machine, or named as one's own."""
  if name == "localhost" or name in local_hosts:
    return True
  try:
    return ipaddress.ip_address(name).is_loopback
  except ValueError:
    return False


def require_allowed(
  names: Iterable[str],
  url: str,
  local_hosts: Collection[str],
  allowed: Collection[str],
) -> None:
  """Checks that the clips of these sets may go to an endpoint.

  Args:
    names: tasks and sources of the rows.
    url: of the endpoint.
    local_hosts: hosts that are one's own.
    allowed: sets for which the user says that they may.

  Raises:
    UserError: the terms of one forbid it.
  """
  if is_local(host(url), local_hosts):
    return
  for name in sorted(set(names) & set(RESTRICTED) - set(allowed)):
    raise errors.UserError(
      f"{name}: {TERMS[name]}; its clips are not sent to {host(url)}. Use a"
      f" teacher on this machine, name the host (--local_hosts), or say that it"
      f" may be (--allow_remote={name})"
    )


def notes(task: str, remote: bool) -> dict[str, str]:
  """What the provenance of a task's rows says of terms.

  Args:
    task: its name.
    remote: whether its clips went to another machine.
  """
  found = {}
  if task in TERMS:
    found["terms"] = TERMS[task]
  if task in RESTRICTED:
    found["publish"] = UNPUBLISHED
    if remote:
      found["sent"] = "sent to another machine by --allow_remote"
  return found
