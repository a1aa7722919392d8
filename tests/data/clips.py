"""Small media files and annotation folders for the tests of preparation."""

import io
import json
import pathlib

import av
import numpy as np
import soundfile
from PIL import Image

RATE = 16_000


def level(frame: int) -> int:
  """The grey level of a frame of `write_video`."""
  return 20 + 5 * frame


def write_video(
  path: pathlib.Path, frames: int, fps: int = 4, size: int = 64
) -> None:
  """A video whose frame i is all `level(i)`, with a key frame every 8."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mpeg4", rate=fps)
    stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
    stream.codec_context.gop_size = 8
    stream.codec_context.bit_rate = 10_000_000  # levels stay apart
    for index in range(frames):
      image = np.full((size, size, 3), level(index), np.uint8)
      for packet in stream.encode(av.VideoFrame.from_ndarray(image)):
        container.mux(packet)
    for packet in stream.encode():
      container.mux(packet)


def pixels(data: bytes) -> np.ndarray:
  """An encoded image as it is stored: uint8[H, W, 3], of a mask uint8[H, W]."""
  return np.asarray(Image.open(io.BytesIO(data)))


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
  """float32[S]: a sine that grows, so that no two windows are alike."""
  t = np.arange(int(seconds * rate)) / rate
  wave = 0.4 * (0.2 + t / (seconds + 1)) * np.sin(2 * np.pi * hertz * t)
  return wave.astype(np.float32)


def write_audio(
  path: pathlib.Path, audio: np.ndarray, rate: int = RATE
) -> None:
  """A waveform [S] or [S, channels] as a file of the path's kind."""
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(str(path), audio, rate)


def write_image(path: pathlib.Path, pixels: np.ndarray) -> None:
  """An image file of the path's kind."""
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path)


def cut_short(path: pathlib.Path, share: float = 0.5) -> None:
  """Keeps only the first part of a file."""
  data = path.read_bytes()
  path.write_bytes(data[: int(len(data) * share)])


def largest_file(folder: pathlib.Path) -> pathlib.Path:
  """The largest file in a folder and those under it."""
  files = (path for path in folder.rglob("*") if path.is_file())
  return max(files, key=lambda path: path.stat().st_size)


def flip(path: pathlib.Path, offset: int, count: int = 1) -> None:
  """Inverts bytes of a file."""
  data = bytearray(path.read_bytes())
  for index in range(offset, offset + count):
    data[index] ^= 0xFF
  path.write_bytes(bytes(data))


def write_annotations(
  source: pathlib.Path, task: str, split: str, rows: object
) -> None:
  """An annotation file of a dataset."""
  path = source / task / f"{split}.json"
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(rows))


def write_emotion(source: pathlib.Path, task: str, rows: int) -> list[dict]:
  """An emotion dataset: `rows` train records that share three clips."""
  clips = min(rows, 3)
  for clip in range(clips):
    write_video(source / task / "video" / f"-{clip}.mp4", 6 + clip)
    write_audio(
      source / task / "audio" / f"-{clip}.wav", tone(1.5, 200 + 50 * clip)
    )
  annotations = [
    {
      "video_path": f"-{row % clips}.mp4",
      "audio_path": f"-{row % clips}.wav",
      "emotion": "joy",
      "label": f"Reason {row}. <answer>joy</answer>.",
    }
    for row in range(rows)
  ]
  write_annotations(source, task, "train", annotations)
  return annotations


def write_segmentation(source: pathlib.Path) -> None:
  """The dataset s4: two train rows, one test row, one clip with masks."""
  clip = source / "s4/AVS/v1s/dog"
  write_audio(clip / "audio.wav", tone(5.0))
  for frame in range(5):
    image = np.full((40, 60, 3), 40 * frame, np.uint8)
    mask = np.zeros((40, 60, 3), np.uint8)
    mask[:20, :30] = (0, 0, 128)
    write_image(clip / f"frames/{frame}.jpg", image)
    write_image(clip / f"labels_rgb/{frame}.png", mask)
  train = [
    {
      "image_path": f"AVS/v1s/dog/frames/{frame}.jpg",
      "audio_path": "AVS/v1s/dog/audio.wav",
      "a_obj": "dog",
      "label_content": "It is the dog: [0,0,112,112], [5,5], [9,9], [50,50].",
    }
    for frame in (0, 3)
  ]
  test = [
    {
      "visual_path": "AVS/v1s/dog/frames/2.jpg",
      "audio_path": "AVS/v1s/dog/audio.wav",
      "a_obj": "dog",
      "frame_idx": 2,
      "uid": "dog_2",
    }
  ]
  write_annotations(source, "s4", "train", train)
  write_annotations(source, "s4", "test", test)
