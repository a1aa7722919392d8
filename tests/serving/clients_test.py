"""The openai SDK against the server: it was written by nobody here."""

import asyncio
import base64
import threading
import time

import openai
import pytest


def _messages(media, text=None):
  url = "data:video/mp4;base64," + base64.b64encode(media["clip.mp4"]).decode()
  content = [{"type": "video_url", "video_url": {"url": url}}]
  if text:
    content.append({"type": "text", "text": text})
  return [{"role": "user", "content": content}]


@pytest.fixture(scope="module")
def client(listening):
  with openai.OpenAI(
    base_url=f"{listening.url}/v1", api_key="none", timeout=60
  ) as found:
    yield found


def test_it_lists_models(client):
  names = [model.id for model in client.models.list()]
  assert names[0] == "crab" and client.models.retrieve("crab:ks").id in names


def test_it_asks_and_keeps_what_it_does_not_know(client, media):
  found = client.chat.completions.create(
    model="crab", messages=_messages(media), extra_body={"task": "ave"}
  )
  message = found.choices[0].message
  (event,) = message.model_extra["crab"]["answer"]["events"]
  assert event["end"] == 8
  assert found.usage.total_tokens > found.usage.completion_tokens > 0


def test_it_streams(client, media):
  arguments = {"model": "crab", "messages": _messages(media, "What is it?")}
  whole = client.chat.completions.create(**arguments)
  with client.chat.completions.stream(
    **arguments, stream_options={"include_usage": True}
  ) as stream:
    for _ in stream:
      pass
    found = stream.get_final_completion()
  assert found.choices[0].message.content == whole.choices[0].message.content
  assert found.usage.completion_tokens == whole.usage.completion_tokens


def test_it_streams_without_blocking(listening, media):
  async def ask():
    async with openai.AsyncOpenAI(
      base_url=f"{listening.url}/v1", api_key="none"
    ) as client:
      stream = await client.chat.completions.create(
        model="crab:ks", messages=_messages(media), stream=True
      )
      return [chunk async for chunk in stream]

  chunks = asyncio.run(ask())
  text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
  assert text.endswith("<answer>playing guitar</answer>")
  assert chunks[0].choices[0].delta.role == "assistant"


def test_its_errors_have_code_type_and_param(client, media):
  with pytest.raises(openai.BadRequestError) as found:
    client.chat.completions.create(
      model="crab:ave", messages=_messages(media), n=3
    )
  error = found.value
  assert (error.code, error.param) == ("unsupported_n", "n")
  assert error.type == "invalid_request_error"
  with pytest.raises(openai.NotFoundError) as found:
    client.models.retrieve("nosuch")
  assert found.value.code == "model_not_found"


def test_a_failure_in_mid_stream_is_raised(client, media, listening):
  listening.engine.pace = 0.05
  try:
    stream = client.chat.completions.create(
      model="crab:ks", messages=_messages(media), stream=True
    )
    next(stream)
    listening.engine.stopped.set()
    with pytest.raises(openai.APIError, match="server failed"):
      list(stream)
  finally:
    listening.engine.pace = 0.0
    listening.engine.stopped.clear()


def test_it_comes_again_when_the_server_is_ready(client, media, listening):
  listening.engine.is_ready = False
  begun = time.monotonic()
  # The second try finds the server ready.
  timer = threading.Timer(0.5, setattr, [listening.engine, "is_ready", True])
  timer.start()
  try:
    found = client.with_options(max_retries=1).chat.completions.create(
      model="crab:ks", messages=_messages(media)
    )
  finally:
    timer.join()
  assert found.choices[0].finish_reason == "stop"
  assert time.monotonic() - begun > 1.5  # what Retry-After says


def test_it_uploads_files(client, media):
  made = client.files.create(
    file=("c.mp4", media["clip.mp4"]), purpose="user_data"
  )
  assert made.bytes == len(media["clip.mp4"])
  assert [file.id for file in client.files.list()] == [made.id]
  found = client.chat.completions.create(
    model="crab:ks",
    messages=[
      {
        "role": "user",
        "content": [{"type": "file", "file": {"file_id": made.id}}],
      }
    ],
  )
  assert found.choices[0].finish_reason == "stop"
  assert client.files.content(made.id).read() == media["clip.mp4"]
  assert client.files.delete(made.id).deleted
