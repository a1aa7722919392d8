"""An OpenAI-style endpoint with every fault that a real one has.

A `Stub` answers on a port of this machine. `faults` is asked before each reply:
it takes the number of times that this very request has come, from 0, and a hash
of it, and names a fault or "".
"""

import collections
import functools
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Callable

GOOD = (
  "The frames show a plain screen that becomes brighter. The sound is one steady"
  " tone that grows over the same time. Both belong together in the whole clip."
)
_TEXTS = {
  "leaking": "As the label says, this is what the annotation gives for the clip"
  " in question, and so it must be the answer here.",
  "chinese": "画面中出现了一个变亮的屏幕，同时可以听到一个持续的声音，两者在整个片段中"
  "都保持一致，因此可以得出这样的结论，这就是答案。",
  "lying": "The box is at [1,2,3,4] and <answer>something else</answer> is what"
  " the frames and the sound of this clip show from beginning to end.",
  "short": "It is so.",
}


def fields(reasoning: str, doubt: int = 0) -> str:
  """A reply as the prompt wants it."""
  return json.dumps(
    {
      "seen": "a red, bright screen",
      "heard": "a tone",
      "reasoning": reasoning,
      "doubt": doubt,
      "why": "",
    }
  )


class Stub:
  """The endpoint; a context manager.

  Attributes:
    url: of it.
    seen: hash of a request -> how often it came.
    bodies: the last requests, as JSON.
    keys: what requests had as authorization.
    tokens: (in, out) that each reply claims.
    times: what it says when it is asked for times, one after the other and the
      last one again.
  """

  def __init__(
    self,
    faults: Callable[[int, str], str] = lambda count, name: "",
    tokens: tuple[int, int] = (1000, 100),
  ):
    self.faults = faults
    self.tokens = tokens
    self.times: list[str] = []
    self.seen: collections.Counter[str] = collections.Counter()
    self.answered: collections.Counter[str] = collections.Counter()
    self.bodies: list[dict] = []
    self.keys: set[str | None] = set()
    self._lock = threading.Lock()
    self._server = http.server.ThreadingHTTPServer(
      ("127.0.0.1", 0), _handler(self)
    )
    self._server.daemon_threads = True
    self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

  def __enter__(self) -> "Stub":
    # It ends as soon as a test does, not half a second later.
    serve = functools.partial(self._server.serve_forever, poll_interval=0.01)
    threading.Thread(target=serve, daemon=True).start()
    return self

  def __exit__(self, *_) -> None:
    self._server.shutdown()
    self._server.server_close()

  def reply(self, data: bytes) -> tuple[int, dict, bytes, float]:
    """Status, headers, body and delay of the reply to a request."""
    body = json.loads(data)
    name = hashlib.sha256(data).hexdigest()
    with self._lock:
      count = self.seen[name]
      self.seen[name] += 1
      self.bodies.append(body)
      del self.bodies[:-50]
    fault = self.faults(count, name)
    if fault in ("429", "500"):
      return int(fault), {"Retry-After": "0"}, b"wait", 0.0
    if fault == "no schema" and "response_format" in body:
      return 400, {}, b'{"error": "response_format is not known"}', 0.0
    if fault == "401":
      return 401, {}, b"no key", 0.0
    if fault == "broken":
      return 200, {}, b'{"choices": [{"mess', 0.0
    with self._lock:
      self.answered[name] += 1
    delay = 0.3 if fault == "slow" else 0.0
    return 200, {}, self._completion(fault, body), delay

  def batch_reply(self, line: dict) -> str:
    """The line of a batch's output for one of its input."""
    _, _, body, _ = self.reply(json.dumps(line["body"]).encode())
    response = {"status_code": 200, "body": json.loads(body)}
    found = {
      "custom_id": line["custom_id"], "response": response, "error": None,
    }  # fmt: skip
    return f"{json.dumps(found)}\n"

  def _completion(self, fault: str, body: dict) -> bytes:
    said = _TEXTS.get(fault, GOOD)
    if self.times and "Say when each of them begins" in json.dumps(body):
      said = self.times[0] if len(self.times) == 1 else self.times.pop(0)
    text = fields(said, doubt=3 if fault == "doubt" else 0)
    if fault == "lines":
      text = f"Seen: a screen\nHeard: a tone\nReasoning: {GOOD}\nDoubt: 0"
    if fault == "refuse":
      text = "I'm sorry, but I can't help with that."
    if fault == "truncated":
      text = text[: len(text) // 2]
    message = {"role": "assistant", "content": text}
    tree = {
      "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
      "usage": {
        "prompt_tokens": self.tokens[0],
        "completion_tokens": self.tokens[1],
      },
    }
    return json.dumps(tree).encode()


def _handler(stub: Stub):
  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Or the body would wait 40 ms for the receipt of the headers.
    disable_nagle_algorithm = True

    def do_POST(self):
      data = self.rfile.read(int(self.headers["Content-Length"]))
      stub.keys.add(self.headers["Authorization"])
      status, headers, body, delay = stub.reply(data)
      time.sleep(delay)
      self.send_response(status)
      for name, value in headers.items():
        self.send_header(name, value)
      self.send_header("Content-Length", str(len(body)))
      self.end_headers()
      self.wfile.write(body)

    def log_message(self, *_):
      pass

  return Handler
