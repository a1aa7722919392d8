"""The routes, over HTTP, with an engine that says what the test tells it."""

import base64

import av
import httpx
import numpy as np
import pytest

from tests.serving import conftest


def _url(data, kind="video/mp4"):
  return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _body(media, model="crab:ave", name="clip.mp4", text=None, **more):
  content = [{"type": "video_url", "video_url": {"url": _url(media[name])}}]
  if text is not None:
    content.append({"type": "text", "text": text})
  messages = [{"role": "user", "content": content}]
  return {"model": model, "messages": messages, **more}


@pytest.fixture(scope="module")
def client(listening):
  with httpx.Client(base_url=listening.url, timeout=60) as found:
    yield found


def _chat(client, body):
  return client.post("/v1/chat/completions", json=body)


def test_a_question_of_a_task_is_answered(client, media):
  found = _chat(client, _body(media))
  assert found.status_code == 200
  value = found.json()
  assert value["object"] == "chat.completion" and value["model"] == "crab:ave"
  (choice,) = value["choices"]
  assert choice["finish_reason"] == "stop"
  message = choice["message"]
  assert message["content"].endswith("<event>Church bell, (0 8)</event>")
  said = message["crab"]
  assert said["answer"]["events"][0]["label"] == "Church bell"
  assert said["reasoning"] == "A bell rings."
  # An encoder of AAC fills up its last frame.
  assert said["heard"]["audio_seconds"] == pytest.approx(4.0, abs=0.1)
  assert said["heard"]["window"] == "tenths"
  assert said["seen"]["frames"] == 10 and said["seen"]["size"] == [128, 64]
  usage = value["usage"]
  details = usage["prompt_tokens_details"]
  kinds = sum(details[f"{k}_tokens"] for k in ("text", "video", "audio"))
  assert kinds == usage["prompt_tokens"] > 0
  assert usage["total_tokens"] == kinds + usage["completion_tokens"]


def test_a_box_stands_in_pixels_of_the_sender(client, media):
  value = _chat(client, _body(media, "crab:arig")).json()
  answer = value["choices"][0]["message"]["crab"]["answer"]
  assert answer["box"] == [10, 20, 100, 200]
  # 128 x 64 pixels over a grid of 224.
  expected = [10 * 128 / 224, 20 * 64 / 224, 101 * 128 / 224, 201 * 64 / 224]
  assert answer["box_pixels"] == pytest.approx(expected, abs=0.01)


def test_a_stream_says_what_the_whole_reply_says(client, media):
  whole = _chat(client, _body(media, "crab", text="What?")).json()
  body = _body(
    media, "crab", text="What?", stream=True,
    stream_options={"include_usage": True},
  )  # fmt: skip
  found = conftest.events(_chat(client, body).text)
  assert found[-1] == "[DONE]" and found[-2]["choices"] == []
  assert found[-2]["usage"] == whole["usage"]
  chunks = found[:-2]
  deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
  assert deltas[0]["role"] == "assistant" and deltas[0]["content"]
  text = "".join(delta.get("content", "") for delta in deltas)
  assert text == whole["choices"][0]["message"]["content"]
  assert "東京 🎷" in text and "\ufffd" not in text
  assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
  assert deltas[-1]["crab"]["answer"]["caption"] == text


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_can_stand_apart(client, media, stream):
  body = _body(media, "crab:ks", reasoning_format="split", stream=stream)
  found = _chat(client, body)
  if stream:
    deltas = [
      value["choices"][0]["delta"] for value in conftest.events(found.text)[:-1]
    ]
    said = {
      key: "".join(delta.get(key, "") for delta in deltas).strip()
      for key in ("reasoning_content", "content")
    }
  else:
    said = found.json()["choices"][0]["message"]
  assert said["reasoning_content"] == "I see hands, I hear strings."
  assert said["content"] == "<answer>playing guitar</answer>"


def test_a_stop_string_ends_the_answer(client, media, listening):
  body = _body(media, "crab:ks", stop=["I hear"])
  choice = _chat(client, body).json()["choices"][0]
  assert choice["message"]["content"] == "I see hands,"
  assert choice["finish_reason"] == "stop"


def test_a_limit_ends_the_answer(client, media):
  choice = _chat(client, _body(media, max_tokens=2)).json()["choices"][0]
  assert choice["finish_reason"] == "length"


def _error(found, status, code):
  assert found.status_code == status, found.text
  error = found.json()["error"]
  assert set(error) == {"message", "type", "param", "code"}
  assert error["code"] == code, error
  return error


def test_silence_never_stands_in_for_a_sound(client, media):
  error = _error(
    _chat(client, _body(media, name="silent.mp4")), 400, "no_audio"
  )
  assert error["param"] == "messages[0].content[0]"
  body = _body(media, name="silent.mp4")
  sound = {"data": base64.b64encode(media["a.wav"]).decode(), "format": "wav"}
  part = {"type": "input_audio", "input_audio": sound}
  body["messages"][0]["content"].append(part)
  assert _chat(client, body).status_code == 200


def test_pictures_stand_for_a_video(client, media):
  pictures = [
    {
      "type": "image_url",
      "image_url": {"url": _url(media["p.png"], "image/png")},
    }
    for _ in range(3)
  ]
  sound = {"type": "audio_url", "audio_url": _url(media["a.wav"], "audio/wav")}
  body = {
    "model": "crab:ks",
    "messages": [{"role": "user", "content": [*pictures, sound]}],
  }
  said = _chat(client, body).json()["choices"][0]["message"]["crab"]
  assert said["seen"]["seconds"] == [0, 1, 2, *[2] * 7]
  body["messages"][0]["content"].pop()
  _error(_chat(client, body), 400, "no_audio")


def test_a_part_can_be_cut(client, media):
  body = _body(media)
  body["messages"][0]["content"][0] |= {"start": 1.0, "end": 3.0}
  said = _chat(client, body).json()["choices"][0]["message"]["crab"]
  assert said["heard"]["audio_seconds"] == 2.0
  assert said["seen"]["seconds"][0] == 0 and said["seen"]["seconds"][-1] < 2
  body["messages"][0]["content"][0] |= {"start": 50.0, "end": 60.0}
  _error(_chat(client, body), 400, "bad_media")


@pytest.mark.parametrize(
  "data",
  [
    b"%PDF-1.4 not media",
    b"#EXTM3U\nfile:///etc/passwd\n",
    b"ffconcat version",
  ],
)
def test_what_is_no_medium_is_refused_by_its_content(client, media, data):
  body = _body({"clip.mp4": data})
  _error(_chat(client, body), 415, "unsupported_media")


def test_a_damaged_clip_is_an_error_that_names_no_path(client, media):
  cut = media["clip.mp4"][: len(media["clip.mp4"]) // 2]
  error = _error(_chat(client, _body({"clip.mp4": cut})), 400, "bad_media")
  assert "/" not in error["message"]


def test_urls_and_files_of_the_server_are_closed(client, media):
  for url in ("https://example.org/a.mp4", "file:///etc/passwd"):
    body = _body(media)
    body["messages"][0]["content"][0]["video_url"] = {"url": url}
    _error(_chat(client, body), 403, "media_host_not_allowed")


def test_files_can_be_uploaded_used_and_deleted(client, media):
  made = client.post(
    "/v1/files",
    files={"file": ("c.mp4", media["clip.mp4"])},
    data={"purpose": "user_data"},
  ).json()
  assert made["bytes"] == len(media["clip.mp4"])
  assert client.get("/v1/files").json()["data"] == [made]
  assert client.get(f"/v1/files/{made['id']}").json() == made
  content = client.get(f"/v1/files/{made['id']}/content")
  assert content.content == media["clip.mp4"]
  part = {"type": "file", "file": {"file_id": made["id"]}}
  body = {"model": "crab:ks", "messages": [{"role": "user", "content": [part]}]}
  assert _chat(client, body).status_code == 200
  assert client.delete(f"/v1/files/{made['id']}").json()["deleted"]
  _error(_chat(client, body), 404, "file_not_found")
  _error(client.get("/v1/files/..%2f..%2fetc%2fpasswd"), 404, "not_found")


def test_a_form_cuts_its_clip(client, media):
  files = {"video": ("c.mp4", media["clip.mp4"])}

  def ask(**form):
    return client.post("/v1/clips", data={"tasks": "ks", **form}, files=files)

  (answer,) = ask(start="1", end="3.0").json()["answers"]
  assert answer["crab"]["heard"]["audio_seconds"] == pytest.approx(2, abs=0.1)
  for form, param in (
    ({"start": "one"}, "start"),
    ({"end": "1e3"}, "end"),
    ({"start": "2", "end": "1"}, "end"),
  ):
    error = _error(ask(**form), 400, "invalid_value")
    assert error["param"] == param


def test_all_tasks_of_a_clip_are_answered(client, media):
  form = {"tasks": "all", "previews": "1"}
  files = {"video": ("c.mp4", media["clip.mp4"])}
  found = client.post("/v1/clips", data=form, files=files).json()
  names = [answer["task"] for answer in found["answers"]]
  assert len(names) == 14 and "ave" in names
  left_out = {row["task"]: row["reason"] for row in found["left_out"]}
  assert left_out["avqa"] == "it needs question"
  assert set(left_out) == {"a2v", "v2a", "avqa", "avqa_thu", "ref_avs"}
  assert len(found["frames"]) == 10
  form = {"tasks": "ks,ave", "stream": "1"}
  stream = client.post("/v1/clips", data=form, files=files)
  values = conftest.events(stream.text)
  assert values[-1] == "[DONE]" and values[0]["event"] == "opened"
  answers = {v["task"]: v for v in values[:-1] if v["event"] == "answer"}
  assert set(answers) == {"ks", "ave"}
  said = {v["task"]: v for v in found["answers"]}
  assert answers["ks"]["content"] == said["ks"]["content"]


def test_two_candidates_are_compared(client, media):
  video, sound = ("c.mp4", media["clip.mp4"]), ("a.wav", media["a.wav"])
  a2v = [("video", video), ("video", video), ("audio", sound)]
  v2a = [("video", video), ("audio", sound), ("audio", sound)]
  for files, task, frames, seconds in (
    (a2v, "a2v", 20, 4),
    (v2a, "v2a", 10, 8),
  ):
    found = client.post("/v1/clips", data={"tasks": "all"}, files=files).json()
    (answer,) = found["answers"]
    assert answer["task"] == task
    assert answer["crab"]["seen"]["frames"] == frames
    heard = answer["crab"]["heard"]["audio_seconds"]
    assert heard == pytest.approx(seconds, abs=0.1)
    left_out = {row["task"]: row["reason"] for row in found["left_out"]}
    assert left_out["ave"].startswith("it is about one clip, without a second")
  error = _error(
    client.post("/v1/clips", data={"tasks": "a2v"}, files=a2v[1:]),
    400,
    "misfit",
  )
  assert error["message"].endswith("it needs a second video")
  _error(
    client.post("/v1/clips", data={"tasks": "all"}, files=[*a2v, a2v[0]]),
    400,
    "unsupported_media_count",
  )
  lacking = [("video", video), ("video", video)]
  found = client.post("/v1/clips", data={"tasks": "all"}, files=lacking).json()
  assert found["answers"] == [] and len(found["left_out"]) == 19
  _error(
    client.post("/v1/clips", data={"tasks": "ave"}, files=a2v),
    400,
    "unsupported_media_count",
  )


def test_a_form_that_asks_for_nothing_is_an_error(client, media):
  files = {"video": ("c.mp4", media["clip.mp4"])}
  post = client.post
  _error(
    post("/v1/clips", data={"tasks": "nosuch"}, files=files),
    404,
    "model_not_found",
  )
  _error(
    post("/v1/clips", data={"tasks": "avqa"}, files=files),
    400,
    "missing_question",
  )
  _error(post("/v1/clips", json={}), 400, "invalid_request")
  _error(
    post("/v1/clips", data={"tasks": "all"}, files={"audio": ("a", b"x")}),
    415,
    "unsupported_media",
  )
  many = [("image", (f"{i}.png", media["p.png"])) for i in range(9)]
  assert post("/v1/clips", files=many).status_code == 400
  damaged = {"content-type": "multipart/form-data; boundary=x"}
  assert (
    post("/v1/clips", content=b"--x\r\nno", headers=damaged).status_code == 400
  )


def test_models_are_listed(client):
  found = client.get("/v1/models").json()["data"]
  by_name = {model["id"]: model["crab"] for model in found}
  assert by_name["crab"]["asks"] == ["question"]
  assert by_name["crab:arig"]["sees"] == "image"
  assert len(found) == 20
  assert client.get("/v1/models/crab:ks").json()["crab"]["family"] == "action"
  _error(client.get("/v1/models/crab:nosuch"), 404, "model_not_found")


def test_other_routes_say_that_there_are_none(client):
  for name in ("responses", "completions", "embeddings"):
    error = _error(client.post(f"/v1/{name}", json={}), 404, "not_found")
    assert "chat" in error["message"]
  _error(client.put("/v1/models"), 405, "method_not_allowed")


def test_the_page_is_its_files_and_nothing_else(client):
  page = client.get("/")
  assert page.status_code == 200 and "<video" in page.text
  assert "default-src 'self'" in page.headers["content-security-policy"]
  for name in ("..%2f..%2fserve.py", "%2e%2e/%2e%2e/serve.py", "nosuch.js"):
    assert client.get(f"/page/{name}").status_code == 404


def test_the_page_has_clips_of_the_embedded_world(client, tmp_path):
  for name in ("sample-1.mp4", "sample-2.mp4", "sample-3.mp4"):
    found = client.get(f"/page/{name}")
    assert found.headers["content-type"] == "video/mp4"
    path = tmp_path / name
    path.write_bytes(found.content)
    with av.open(str(path)) as film:
      codecs = [stream.codec.name for stream in film.streams]
      assert codecs == ["h264", "aac"]
      lengths = [s.duration * s.time_base for s in film.streams]
      assert lengths[1] == pytest.approx(lengths[0], abs=0.1)
      sound = np.concatenate(
        [frame.to_ndarray().ravel() for frame in film.decode(audio=0)]
      )
      assert np.abs(sound).max() > 0.05
  assert client.get("/page/sample-4.mp4").status_code == 404


def test_metrics_count_requests(client, media):
  _chat(client, _body(media))
  text = client.get("/metrics").text
  route = '{route="/v1/chat/completions",status="200"}'
  assert f"crab_requests_total{route}" in text
  for name in ("crab_slots 2.0", "crab_time_to_first_token_seconds_count",
               "vllm:num_requests_waiting", "crab_compilations_total",
               'crab_queue_depth{stage="media"}'):  # fmt: skip
    assert name in text, name


def test_ignored_keys_are_named(client, media):
  body = _body(media, nosuch=1)
  body["messages"][0]["content"][0]["fps"] = 2
  found = _chat(client, body)
  assert "nosuch" in found.headers["x-ignored"]
  assert "messages[0].content[0].fps" in found.headers["x-ignored"]


def test_health_says_whether_the_server_answers(client, listening):
  assert client.get("/health").json() == {"status": "ok"}
  listening.engine.is_ready = False
  try:
    found = client.get("/ping")
    error = _error(found, 503, "starting")
    assert error["type"] == "server_error" and found.headers["retry-after"]
  finally:
    listening.engine.is_ready = True
