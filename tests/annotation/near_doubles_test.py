"""Clips that look alike though their bytes differ."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from crab_jax.annotation import near_doubles
from crab_jax.annotation import run
from crab_jax.annotation import schema
from crab_jax.annotation import settings as settings_lib
from crab_jax.annotation.review import reviews
from crab_jax.data import tasks
from tests.data import clips

_SECONDS, _RATE = 2, 4


def _write(path, seed, size=96, rate=400_000, tone=0):
  """A clip of moving blobs; size, rate and tone are those of the coding."""
  rng = np.random.default_rng(seed)
  start, end = rng.integers(0, 256, (2, 6, 6))
  with av.open(str(path), "w") as file:
    stream = file.add_stream("mpeg4", rate=_RATE)
    stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
    stream.codec_context.bit_rate = rate
    for i in np.linspace(0, 1, _SECONDS * _RATE):
      blobs = ((1 - i) * start + i * end + tone).clip(0, 255).astype(np.uint8)
      image = Image.fromarray(blobs).resize((size, size), Image.BICUBIC)
      frame = av.VideoFrame.from_image(image.convert("RGB"))
      file.mux(stream.encode(frame))
    file.mux(stream.encode())
  return path


def _print(path, cut=None):
  return near_doubles.of_file(path, cut, float(_SECONDS))


def _alike(one, other):
  return near_doubles.alike([one], [other]) == [[0]]


@pytest.fixture(scope="module")
def media(tmp_path_factory):
  """Four clips; v0 again, smaller, coarser and brighter; and sound."""
  folder = tmp_path_factory.mktemp("media")
  for seed in range(4):
    _write(folder / f"v{seed}.mp4", seed)
  _write(folder / "again.mp4", 0, 64, 60_000, tone=9)
  for seed in range(5):
    wave = clips.tone(_SECONDS, 200 + 40 * seed)
    clips.write_audio(folder / f"a{seed}.wav", wave)
  return folder


def test_a_clip_that_is_encoded_anew_is_alike_and_no_other(media):
  prints = [_print(media / f"v{i}.mp4") for i in range(4)]
  again = _print(media / "again.mp4")
  assert near_doubles.alike(prints, [again]) == [[0], [], [], []]
  assert near_doubles.alike([again], prints) == [[0]]


def test_another_length_is_another_clip(media):
  whole = _print(media / "v0.mp4")
  assert not _alike(whole, _print(media / "again.mp4", (0.0, 1.5)))
  part = _print(media / "v0.mp4", (0.5, 1.5))
  assert _alike(part, _print(media / "again.mp4", (0.5, 1.5)))


def test_plain_pictures_are_like_none(tmp_path):
  """A black screen says nothing of what the clip is."""
  clips.write_video(tmp_path / "plain.mp4", _SECONDS * _RATE)
  plain = _print(tmp_path / "plain.mp4")
  assert not _alike(plain, plain)


def test_pictures_are_compared_with_pictures(tmp_path):
  rng = np.random.default_rng(0)
  blobs = rng.integers(0, 256, (6, 6)).astype(np.uint8)
  large = Image.fromarray(blobs).resize((320, 240), Image.BICUBIC)
  large.save(tmp_path / "a.png")
  large.resize((160, 120)).save(tmp_path / "b.jpg", quality=40)
  large.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "c.png")
  one, other, turned = (
    near_doubles.of_file(tmp_path / name, None, None)
    for name in ("a.png", "b.jpg", "c.png")
  )
  assert _alike(one, other)
  assert not _alike(one, turned)


def test_what_has_the_same_edges_and_other_colours_is_another(tmp_path):
  """As two faces of which each looks into the camera."""
  rng = np.random.default_rng(0)
  one = rng.integers(40, 216, (6, 6, 3)).astype(np.uint8)
  pale = (128 + 0.6 * (one.astype(float) - 128)).astype(np.uint8)
  bright = one + np.uint8(20)
  prints = []
  for i, blobs in enumerate((one, pale, bright)):
    picture = Image.fromarray(blobs).resize((120, 120), Image.BICUBIC)
    picture.save(tmp_path / f"{i}.png")
    prints.append(near_doubles.of_file(tmp_path / f"{i}.png", None, None))
  assert not _alike(prints[0], prints[1])
  assert _alike(prints[0], prints[2])


def test_what_does_not_decode_has_no_print(tmp_path, media):
  data = (media / "v0.mp4").read_bytes()
  (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 8])
  assert near_doubles.of_file(tmp_path / "cut.mp4", None, 2.0) is None
  assert near_doubles.of_file(tmp_path / "gone.png", None, None) is None


def _annotate(media, out, splits, **settings):
  names = ["v0.mp4", "v1.mp4", "again.mp4", "v2.mp4"]
  lines = [
    (f"line {i}", {"id": name, "task": "ks", "video": name, "label": "drums",
                   "audio": f"a{i}.wav", "split": split})
    for i, (name, split) in enumerate(zip(names, splits, strict=True))
  ]  # fmt: skip
  found, faults = schema.parse(lines, tasks.Tasks())
  assert not faults
  said = []
  summary = run.annotate(
    run.Inputs(
      found, faults, media, out, tasks.Tasks(),
      settings_lib.Settings(**settings),
    ),
    said.append,
  )  # fmt: skip
  return summary, said


def _unbuilt(out):
  text = (out / run.STATE / "unbuilt.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_a_near_double_waits_for_a_person(media, tmp_path):
  """The training row is held back until it is accepted; the test row is not."""
  splits = ("train", "train", "test", "test")
  summary, said = _annotate(media, tmp_path, splits)
  assert summary["tasks"]["ks"] == {"train": 1, "test": 2}
  assert "1 rows have nearly the clip of a row of another split" in said
  (line,) = _unbuilt(tmp_path)
  assert (line["id"], line["status"]) == ("v0.mp4", "unreviewed")
  assert "near_double" in line["reason"]
  text = (tmp_path / run.STATE / "drafts.jsonl").read_text()
  (draft,) = [d for d in map(json.loads, text.splitlines()) if d["findings"]]
  assert draft["findings"][0]["reason"] == "nearly the clip of again.mp4 (test)"
  decision = {
    "id": draft["id"], "hash": reviews.text_hash(draft["text"]), "time": 0,
    "verdict": "accept", "text": "", "reason": "", "reviewer": "ann",
  }  # fmt: skip
  (tmp_path / reviews.FILE).write_text(json.dumps(decision) + "\n")
  summary, _ = _annotate(media, tmp_path, splits)
  assert summary["tasks"]["ks"] == {"train": 2, "test": 2}


@pytest.mark.parametrize(
  ("splits", "settings"),
  [
    (("train", "test", "train", "test"), {}),
    (("train", "train", "test", "test"), {"allow_overlap": True}),
  ],
)
def test_near_doubles_of_one_split_are_built(media, tmp_path, splits, settings):
  summary, _ = _annotate(media, tmp_path, splits, **settings)
  assert summary["unbuilt"] == []


def test_a_second_run_looks_at_no_clip_again(media, tmp_path, monkeypatch):
  splits = ("train", "train", "test", "test")
  first, _ = _annotate(media, tmp_path, splits)
  (tmp_path / run.SUMMARY).unlink()
  monkeypatch.setattr(near_doubles, "of_file", None)
  assert _annotate(media, tmp_path, splits)[0] == first
