"""Loads a server that runs, and prints how fast it answers.

  python -m crab_jax.serve --checkpoint=... --adapter=... --slots=16 --benchmark
  python -m tests.serving.load --video=clip.mp4 [--audio=clip.wav]
    [--url=http://127.0.0.1:8000] [--clients 1 4 16] [--new 100] [--rounds 2]
    [--task=ave] [--seconds=3600 | --requests=10000] [--pid=PID]

Every client streams an answer of `--new` tokens (the server must run with
--benchmark), then asks again, `--rounds` times. Each request cuts the clip at
another tenth of a millisecond, so no two of 5,000 share keys and values. A line for
each number of clients: tokens and requests a second, seconds to the first token
(median, 95 %), milliseconds between two pieces of an answer (median, 99 %), and
the ratio of tokens a second to the first line. Then all tasks that fit the clip:
one by one, and by one request of /v1/clips.

With `--seconds` or `--requests` it goes on for so long, or asks so often, with the
last number of clients: a soak. With `--pid` of the server it prints the memory of
it and of its processes for media after the first tenth and at the end. Anything
but an answer ends it with the reply.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import itertools
import json
import pathlib
import time

import httpx
import numpy as np

_PAGE = 4096 / 2**20  # MiB of a page of memory


class _Loader:
  """Asks a server about one clip.

  Args:
    flags: of the command.
  """

  def __init__(self, flags: argparse.Namespace):
    self._flags, self._cuts = flags, itertools.count()
    self._media = {"video": pathlib.Path(flags.video).read_bytes()}
    if flags.audio:
      self._media["audio"] = pathlib.Path(flags.audio).read_bytes()
    key = {"authorization": f"Bearer {flags.key}"} if flags.key else {}
    self.client = httpx.Client(
      base_url=flags.url,
      headers=key,
      timeout=600,
      limits=httpx.Limits(max_connections=None),
    )

  def _body(self, task: str) -> dict:
    start = next(self._cuts) % 5000 / 10_000
    content = [
      {
        "type": f"{kind}_url",
        f"{kind}_url": f"data:{kind}/any;base64,{base64.b64encode(x).decode()}",
        "start": start,
      }
      for kind, x in self._media.items()
    ]
    return {
      "model": f"crab:{task}",
      "messages": [{"role": "user", "content": content}],
      "max_tokens": self._flags.new,
      "ignore_eos": True,
      "stream": True,
      "stream_options": {"include_usage": True},
    }

  def ask(self, task: str) -> tuple[int, list[float]]:
    """Tokens of an answer, and when its pieces came, after the request."""
    body, times = self._body(task), []
    begun, tokens, said = time.perf_counter(), 0, ""
    with self.client.stream("POST", "/v1/chat/completions", json=body) as reply:
      if reply.status_code != 200:
        raise SystemExit(reply.read().decode())
      for line in reply.iter_lines():
        if not line.startswith("data: "):
          continue
        said = line.removeprefix("data: ")
        if said == "[DONE]":
          break
        value = json.loads(said)
        if "error" in value:
          raise SystemExit(said)
        if value.get("usage"):
          tokens = value["usage"]["completion_tokens"]
        if any(c["delta"].get("content") for c in value["choices"]):
          times.append(time.perf_counter() - begun)
    if said != "[DONE]":
      raise SystemExit("a stream ended early")
    return tokens, times

  def together(self, clients: int, more) -> float:
    """Loads the server while `more(round)`; prints a line.

    Returns:
      Tokens a second.
    """
    found = []

    def client(_):
      for index in itertools.count():
        if not more(index):
          return
        found.append(self.ask(self._flags.task))

    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as threads:
      list(threads.map(client, range(clients)))
    seconds = time.perf_counter() - begun
    first = [times[0] for _, times in found if times]
    gaps = [gap for _, times in found for gap in np.diff(times)] or [0.0]
    speed = sum(tokens for tokens, _ in found) / seconds
    print(
      f"{clients} clients: {speed:.1f} tokens/s,"
      f" {len(found) / seconds:.2f} requests/s, first token"
      f" {np.median(first):.2f} s ({np.quantile(first, 0.95):.2f} s), between"
      f" pieces {1e3 * np.median(gaps):.0f} ms"
      f" ({1e3 * np.quantile(gaps, 0.99):.0f} ms)",
      flush=True,
    )
    return speed

  def all_tasks(self) -> None:
    """Prints the seconds of all tasks one by one and in one request."""
    begun = time.perf_counter()
    form = {"tasks": "all", "max_tokens": str(self._flags.new)}
    reply = self.client.post("/v1/clips", files=self._media, data=form)
    together = time.perf_counter() - begun
    if reply.status_code != 200:
      raise SystemExit(reply.text)
    answers = reply.json()["answers"]
    tokens = sum(one["usage"]["completion_tokens"] for one in answers)
    begun, alone_tokens = time.perf_counter(), 0
    for one in answers:
      alone_tokens += self.ask(one["task"])[0]
    alone = time.perf_counter() - begun
    # The form's answers end by themselves, those asked alone at the limit.
    print(
      f"{len(answers)} tasks of a clip: one by one {alone_tokens / alone:.1f}"
      f" tokens/s ({alone:.1f} s), together {tokens / together:.1f} tokens/s"
      f" ({together:.1f} s), ratio of speeds"
      f" {tokens / together / (alone_tokens / alone):.2f}"
    )


def _resident(pid: int) -> float:
  """MiB of memory that a process and all below it hold."""
  parents = {}
  for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
    with contextlib.suppress(OSError):  # it has just ended
      # Behind the name, which is in brackets and may hold blanks.
      fields = path.read_text().rpartition(")")[2].split()
      parents[int(path.parent.name)] = int(fields[1])
  family, size = {pid}, 0
  while len(family) > size:
    size = len(family)
    family |= {own for own, parent in parents.items() if parent in family}
  pages = 0
  for own in family:
    with contextlib.suppress(OSError):
      pages += int(pathlib.Path(f"/proc/{own}/statm").read_text().split()[1])
  return pages * _PAGE


def _soak(loader: _Loader, flags: argparse.Namespace) -> None:
  begun, asked, memory = time.monotonic(), itertools.count(), []
  for share in (0.1, 1.0):
    if flags.requests:
      most = share * flags.requests
      loader.together(
        flags.clients[-1], lambda _, most=most: next(asked) < most
      )
    else:
      end = begun + share * flags.seconds
      loader.together(
        flags.clients[-1], lambda _, end=end: time.monotonic() < end
      )
    if flags.pid:
      memory.append(_resident(flags.pid))
  if memory:
    print(
      f"memory {memory[0]:.0f} MiB after a tenth, {memory[1]:.0f} MiB at the"
      f" end: {memory[1] / memory[0] - 1:+.1%}"
    )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--url", default="http://127.0.0.1:8000")
  parser.add_argument("--key", default="")
  parser.add_argument("--video", required=True)
  parser.add_argument("--audio")
  parser.add_argument("--task", default="ave")
  parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
  parser.add_argument("--new", type=int, default=100)
  parser.add_argument("--rounds", type=int, default=2)
  parser.add_argument("--seconds", type=float, help="soak for so long")
  parser.add_argument("--requests", type=int, help="soak by so many")
  parser.add_argument("--pid", type=int, help="of the server")
  flags = parser.parse_args()
  loader = _Loader(flags)
  loader.ask(flags.task)  # its media process has nothing open yet
  if flags.seconds or flags.requests:
    _soak(loader, flags)
    return
  speeds = [
    loader.together(clients, lambda index: index < flags.rounds)
    for clients in flags.clients
  ]
  for clients, speed in zip(flags.clients, speeds, strict=True):
    print(f"{clients} clients: ratio {speed / speeds[0]:.2f}")
  loader.all_tasks()


if __name__ == "__main__":
  main()
