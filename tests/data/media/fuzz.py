"""Damaged files of every container, and what reading them must hold to.

Runs in processes of its own, so that one that dies or grows is seen:
`python -m tests.data.media.fuzz FOLDER COUNT`.
"""

import faulthandler
import pathlib
import resource
import sys
from typing import NamedTuple

import av
import numpy as np
import soundfile

from crab_jax.data import statuses
from crab_jax.data import worker_pool
from crab_jax.data.media import frames
from crab_jax.data.media import sound
from crab_jax.data.media import streams
from tests.data.media import files as media_files

SECONDS = 1.0
_MEGABYTES = 400
_HANGS = 300  # seconds after which a process shows where it is, and ends
_SHORT = 0.25  # seconds that may be missing of what the file says it has

BASES = {
  "a.mp4": {},
  "b.mp4": {"options": {"movflags": "frag_keyframe+empty_moov"}},
  "a.mkv": {},
  "a.webm": {"video": "libvpx", "audio": "libopus", "rate": 48_000},
  "a.ts": {"video": "mpeg2video", "fps": 25},
  "a.mpg": {"video": "mpeg2video", "audio": "mp2", "fps": 25},
  "a.flv": {"video": "flv"},
  "a.avi": {"audio": "libmp3lame"},
  "a.mp3": {"video": None, "audio": "libmp3lame"},
  "a.aac": {"video": None},
  "a.ac3": {"video": None, "audio": "ac3"},
  "a.opus": {"video": None, "audio": "libopus", "rate": 48_000},
  "a.wav": {"video": None, "audio": "pcm_s16le", "rate": 8000},
  "a.flac": {"video": None, "audio": "flac"},
  "a.aiff": {"video": None, "audio": "pcm_s16be", "rate": 8000},
  "a.caf": {"video": None, "audio": "pcm_s16be", "rate": 8000},
}
# Formats whose length is not written: FFmpeg's duration is a guess.
_GUESSED = {"aac", "ac3", "mp3", "mpegts", "mpeg", "ogg"}


class Job(NamedTuple):
  """Which damaged files to read, and where they may be written."""

  bases: pathlib.Path
  folder: pathlib.Path
  seeds: range


def write_bases(folder: pathlib.Path) -> None:
  """A whole file of every container."""
  for name, options in BASES.items():
    media_files.write(folder / name, SECONDS, **options)


def read_damaged(job: Job, tick) -> None:
  """Reads damaged files; what must hold is asserted of each."""
  faulthandler.enable()  # a process that dies shows where
  bases = [(job.bases / name).read_bytes() for name in BASES]
  for seed in job.seeds:
    random = np.random.default_rng(seed)
    index = seed % len(bases)
    path = job.folder / f"{seed}_{[*BASES][index]}"
    path.write_bytes(_damaged(bases[index], bases, random))
    faulthandler.dump_traceback_later(_HANGS, exit=True)
    try:
      _check(path)
    except AssertionError as error:
      raise AssertionError(f"seed {seed}, {path.name}: {error}") from error
    faulthandler.cancel_dump_traceback_later()
    path.unlink()
    tick(1)
  used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  assert used < _MEGABYTES, f"{job.seeds}: {used:.0f} MB"


def _damaged(data: bytes, bases: list[bytes], random) -> bytes:
  """One kind of damage: bytes, a header, a part of a file."""
  found = bytearray(data)
  size = len(found)
  place, length = random.integers(size), int(random.integers(1, 400))
  kind = random.integers(7)
  if kind == 0:  # bytes anywhere
    for index in random.integers(0, size, random.integers(1, 30)):
      found[index] = random.integers(256)
  elif kind == 1:  # bytes of the header
    for index in random.integers(0, min(size, 700), random.integers(1, 5)):
      found[index] = random.integers(256)
  elif kind == 2:  # bits of the header, often of a length
    for index in random.integers(0, min(size, 700), random.integers(1, 3)):
      found[index] ^= 1 << random.integers(8)
  elif kind == 3:
    del found[place:]
  elif kind == 4:
    del found[place : place + length]
  elif kind == 5:
    found[place : place + length] = bytes(length)
  else:  # the header of another file
    other = bases[random.integers(len(bases))]
    found[:length] = other[:length]
  return bytes(found)


def _check(path: pathlib.Path) -> None:
  """A file is read as long as it says it is, or has a status."""
  try:
    heard = sound.read_audio(path)
    own = _own_seconds(path, "audio")
    have = heard.kept + heard.early
    assert have >= min(own, SECONDS) - _SHORT, f"sound: {have} of {own} s"
    assert np.isfinite(heard.samples).all()
  except statuses.RecordError as error:
    _check_reason(error, path)
  try:
    seen = frames.read_video(path, 4, 16)
    own = _own_seconds(path, "video")
    last = seen.seconds[-1]
    assert last >= min(own, SECONDS) - 2 * _SHORT, f"film: {last} of {own} s"
  except statuses.RecordError as error:
    _check_reason(error, path)


def _check_reason(error: statuses.RecordError, path: pathlib.Path) -> None:
  assert error.status in ("bad_audio", "bad_video", "truncated")
  assert path.name in error.reason
  assert "\n" not in error.reason


def _own_seconds(path: pathlib.Path, kind: str) -> float:
  """How long the best stream of a kind is, as the file itself says."""
  try:
    return _by_ffmpeg(path, kind)
  except av.FFmpegError:  # libsndfile alone reads it
    return soundfile.info(str(path)).duration


def _by_ffmpeg(path: pathlib.Path, kind: str) -> float:
  with streams.opened(path) as container:
    stream = container.streams.best(kind)
    times = [
      float((packet.pts or 0) * packet.time_base)
      for packet in container.demux()
      if packet.size and packet.stream.type == kind and packet.time_base
    ]
    start = min(times, default=0.0)
    if stream is None or container.format.name in _GUESSED:
      return max(times, default=0.0) - start
    if stream.duration is not None:
      return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base - max(0.0, start)


def main() -> None:
  """Reads as many damaged files as the command line asks for."""
  folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
  write_bases(folder)
  step = 40
  jobs = [
    Job(folder, folder, range(start, min(start + step, count)))
    for start in range(0, count, step)
  ]
  try:
    _read(jobs)
  except worker_pool.Died:
    # As a preparation does: what a process was at is tried alone. A file that
    # ends a process again ends this one.
    seeds = [
      int(path.name.partition("_")[0]) for path in folder.glob("[0-9]*_*")
    ]
    for seed in seeds:
      print(f"a process died at seed {seed}; alone:", flush=True)
      _read([Job(folder, folder, range(seed, seed + 1))])
    _read(jobs)


def _read(jobs: list[Job]) -> None:
  worker_pool.run(
    read_damaged,
    jobs,
    steps=sum(len(job.seeds) for job in jobs),
    workers=min(2, len(jobs)),
    title="fuzz",
    apart=True,
  )


if __name__ == "__main__":
  main()
