"""Chat requests: what they ask, and errors that name the field."""

import base64
import copy
import json
import random

import pytest

from crab_jax import configs
from crab_jax.data import tasks
from crab_jax.serving import asked
from crab_jax.serving import failures
from crab_jax.serving import protocol

_DATA = base64.b64encode(b"data").decode()
_URI = f"data:video/mp4;base64,{_DATA}"
_RULES = protocol.Rules(
  asked.with_free_question(tasks.Tasks()), configs.Serving(), 160
)


def _body(*parts, **more):
  content = list(parts) or [{"type": "video_url", "video_url": {"url": _URI}}]
  messages = [{"role": "user", "content": content}]
  return {"model": "crab:ave", "messages": messages, **more}


def _parse(body, rules=_RULES):
  text = body if isinstance(body, bytes) else json.dumps(body).encode()
  return protocol.chat(text, rules)


@pytest.mark.parametrize(
  ("part", "kind"),
  [
    ({"type": "video_url", "video_url": {"url": _URI}}, "video"),
    ({"type": "video_url", "video_url": _URI}, "video"),
    ({"type": "image_url", "image_url": {"url": _URI}}, "image"),
    ({"type": "audio_url", "audio_url": _URI}, "audio"),
    ({"type": "input_audio", "input_audio": {"data": _DATA}}, "audio"),
    ({"type": "input_audio", "input_audio": {"data": _URI}}, "audio"),
    ({"type": "file", "file": {"file_data": _URI}}, None),
    ({"type": "file", "file": {"file_data": _DATA}}, None),
  ],
)
def test_media_come_in_many_forms(part, kind):
  (found,) = _parse(_body(part)).parts
  assert found.kind == kind and found.source.data == b"data"
  assert found.param == "messages[0].content[0]"


def test_the_text_fills_the_question():
  text = {"type": "text", "text": " How many? "}
  video = {"type": "video_url", "video_url": _URI}
  for parts in ((text, video), (video, text)):
    found = _parse(_body(*parts, model="crab:avqa"))
    assert found.tasks == ("avqa",)
    assert found.wording.question == "How many?"
  free = _parse(_body(*parts, model="crab"))
  assert free.tasks == (asked.FREE,)
  named = _parse(_body(*parts, model="crab", task="avqa"))
  assert named.tasks == ("avqa",)
  body = _body(
    *parts, model="crab:avqa_thu", crab={"options": ["a", "b"], "gates": True}
  )
  assert _parse(body).wording.options == ("a", "b") and _parse(body).gates


def test_earlier_turns_are_kept_as_text():
  body = _body({"type": "text", "text": "And then?"}, model="crab")
  earlier = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is it?"},
    {"role": "assistant", "content": "A bell."},
  ]
  body["messages"] = [*earlier, *body["messages"]]
  found = _parse(body)
  assert [turn.text for turn in found.wording.history] == [
    "What is it?",
    "A bell.",
  ]
  assert found.wording.system is None
  assert "messages[0].system" in found.ignored
  allowed = _RULES._replace(limits=configs.Serving(allow_system=True))
  assert _parse(body, allowed).wording.system == "Be brief."


def test_sampling_is_read():
  found = _parse(
    _body(
      temperature=0.5, top_p=0.9, top_k=-1, seed=7, stop="x",
      repetition_penalty=1.5, max_tokens=9, max_completion_tokens=8,
      ignore_eos=True,
    )
  ).sampling  # fmt: skip
  assert found == asked.Sampling(8, 0.5, 0.9, 0, 7, 1.5, ("x",), False)
  benchmark = _RULES._replace(limits=configs.Serving(benchmark=True))
  assert _parse(_body(ignore_eos=True), benchmark).sampling.ignore_eos
  assert _parse(_body(stop=None, user="u", store=True, n=1)).ignored == ()


_VIDEO = {"type": "video_url", "video_url": _URI}
_TEXT = {"type": "text", "text": "hello"}
_WRONG = {
  "no JSON": (b"{", 400, "invalid_json", None),
  "NaN": (b'{"model": NaN}', 400, "invalid_json", None),
  "a list": (b"[]", 400, "invalid_json", None),
  "no UTF-8": (b'{"model": "\xff"}', 400, "invalid_json", None),
  "deep": (b"[" * 200_000, 400, "invalid_json", None),
  "no model": ({"messages": []}, 400, "missing_value", "model"),
  "model": (_body(model="gpt"), 404, "model_not_found", "model"),
  "its own row": (
    _body(model=f"crab:{asked.FREE}"), 404, "model_not_found", "model",
  ),
  "other task": (_body(task="ks"), 400, "invalid_value", "task"),
  "no message": (
    {"model": "crab:ave", "messages": []}, 400, "missing_value", "messages",
  ),
  "text": (_body(_VIDEO, _TEXT), 400, "unexpected_text", "messages"),
  "no question": (_body(model="crab"), 400, "missing_question", "messages"),
  "options": (
    _body(_VIDEO, _TEXT, model="crab:avqa_thu"),
    400, "missing_options", "crab.options",
  ),
  "n": (_body(n=2), 400, "unsupported_n", "n"),
  "n as bool": (_body(n=True), 400, "unsupported_n", "n"),
  "tools": (_body(tools=[{}]), 400, "unsupported_tools", "tools"),
  "logprobs": (_body(logprobs=True), 400, "unsupported_logprobs", "logprobs"),
  "temperature": (
    _body(temperature="hot"), 400, "invalid_value", "temperature",
  ),
  "top_p": (_body(top_p=0), 400, "invalid_value", "top_p"),
  "huge": (_body(temperature=10**400), 400, "invalid_value", "temperature"),
  "tokens": (_body(max_tokens=161), 400, "too_long", "max_completion_tokens"),
  "no tokens": (_body(max_tokens=0), 400, "invalid_value", "max_tokens"),
  "stop": (_body(stop=[""]), 400, "invalid_value", "stop"),
  "stream": (_body(stream=1), 400, "invalid_value", "stream"),
  "role": (
    {"model": "crab:ave", "messages": [{"role": "tool"}]},
    400, "unsupported_role", "messages[0].role",
  ),
  "part": (
    _body({"type": "x"}), 400, "unsupported_part", "messages[0].content[0]",
  ),
  "base64": (
    _body({"type": "video_url", "video_url": "data:video/mp4;base64,%%"}),
    400, "bad_media", "messages[0].content[0].url",
  ),
  "scheme": (
    _body({"type": "video_url", "video_url": {"url": "ftp://a/b"}}),
    400, "unsupported_url", "messages[0].content[0].video_url.url",
  ),
  "cut": (
    _body({**_VIDEO, "start": 3, "end": 2}),
    400, "invalid_value", "messages[0].content[0].end",
  ),
  "surrogate": (
    _body({"type": "text", "text": "\ud800"}), 400, "invalid_value",
    "messages[0].content[0].text",
  ),
  "1000 parts": (
    _body(*[_VIDEO] * 1000), 400, "too_many_parts", "messages[0].content",
  ),
  "33 pictures": (
    _body(*[{"type": "image_url", "image_url": _URI}] * 33),
    400, "too_many_media", "messages",
  ),
  "long text": (
    _body({"type": "text", "text": "x" * 9000}), 400, "too_long", "messages",
  ),
}  # fmt: skip


@pytest.mark.parametrize("name", _WRONG)
def test_an_error_names_the_field(name):
  body, status, code, param = _WRONG[name]
  with pytest.raises(failures.Failure) as found:
    _parse(body)
  failure = found.value
  assert (failure.status, failure.code, failure.param) == (status, code, param)
  assert failure.message and "\n" not in failure.message


def test_media_of_earlier_turns_are_refused():
  body = _body()
  body["messages"] *= 2
  with pytest.raises(failures.Failure, match="last message") as found:
    _parse(body)
  assert found.value.code == "unsupported_history"


_ODD = [
  None, True, -1, 0, 1.5, 1e308, 10**30, "", "x", "\ud800", "\0", [], {}, [[]],
  {"a": 1}, "data:", "data:;base64,", "file:///etc/passwd", "crab", "crab:",
  "https://[::1", [None] * 3, {"url": 5}, {"type": "text"},
]  # fmt: skip


def _places(value, path=()):
  yield path
  items = value.items() if isinstance(value, dict) else ()
  if isinstance(value, list):
    items = enumerate(value)
  for key, inner in items:
    yield from _places(inner, (*path, key))


def _mutated(rng):
  """A good body with a few odd values."""
  body = _body(
    _VIDEO, _TEXT, {"type": "input_audio", "input_audio": {"data": _DATA}},
    model="crab", stream=True, stream_options={"include_usage": True},
    crab={"question": None, "options": None, "gates": False}, stop=["a"],
    temperature=1.0, top_p=1.0, seed=1, max_tokens=5, task="avqa",
  )  # fmt: skip
  body = copy.deepcopy(body)
  for _ in range(rng.randint(1, 3)):
    *path, last = rng.choice([p for p in _places(body) if p])
    inner = body
    for key in path:
      inner = inner[key]
    if rng.random() < 0.2 and isinstance(inner, dict):
      del inner[last]
    else:
      inner[last] = copy.deepcopy(rng.choice(_ODD))
  text = json.dumps(body).encode()
  if rng.random() < 0.2:
    place = rng.randrange(len(text))
    text = text[:place] + rng.randbytes(rng.randint(0, 4)) + text[place + 1 :]
  return text


def _fuzz(count):
  rng, refused = random.Random(1), 0
  for _ in range(count):
    body = _mutated(rng)
    try:
      _parse(body)
    except failures.Failure as failure:
      assert 400 <= failure.status < 500, body
      json.dumps(failure.body()).encode()
      refused += 1
  assert 0.2 * count < refused < count


def test_no_body_is_a_defect():
  _fuzz(400)


@pytest.mark.slow
def test_no_body_of_many_is_a_defect():
  _fuzz(10_000)
