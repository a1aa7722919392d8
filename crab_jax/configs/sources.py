"""Where records come from: the embedded world, and their preparation."""

import dataclasses

from crab_jax.configs import checked


@dataclasses.dataclass(frozen=True)
class World(checked.Checked):
  """The embedded synthetic AV-UIE: how much of it, and how it is written."""

  seed: int = 0
  train_samples: int = 240  # records of train.json, each dataset
  # Dataset -> times as many records in its train.json; the others have 1.
  train_factors: dict[str, int] | None = None
  val_samples: int = 24  # records of val.json, each dataset
  test_samples: int = 32  # records of test.json, each dataset that has one
  unified_samples: int = 0  # held-out scenes that every dataset asks about
  perception: bool = False  # also scenes described in prose, for a base
  video_size: int = 112  # pixels, square, of the mp4 and jpg files
  video_fps: int = 4  # frames per second of the mp4 files

  def check(self):
    for name in ("train_samples", "val_samples", "test_samples"):
      checked.require(
        getattr(self, name) >= 4,
        f"World.{name}={getattr(self, name)} must be at least 4",
      )
    checked.require(
      self.unified_samples == 0 or self.unified_samples >= 4,
      f"World.unified_samples={self.unified_samples} must be 0 or at least 4",
    )
    for task, factor in (self.train_factors or {}).items():
      checked.require(
        factor >= 1,
        f"World.train_factors has {task}: {factor}; it must be at least 1",
      )


@dataclasses.dataclass(frozen=True)
class Preparation(checked.Checked):
  """How annotations and media become TFRecords."""

  frame_size: int = 224  # pixels, square, of the stored frames
  frame_format: str = "jpeg"  # "png": lossless
  jpeg_quality: int = 95  # 1..100
  shard_records: int = 512  # records a shard at most
  max_audio_seconds: float | None = None  # cut longer windows, and report it
  max_bad_share: float = 0.001  # of all records; more is an error
  max_bad_task_share: float = 0.01  # of the records of one dataset
  workers: int = 0  # processes; 0: one a core

  def check(self):
    checked.require(
      self.frame_format in ("jpeg", "png"),
      f'Preparation.frame_format={self.frame_format!r} must be "jpeg" or "png"',
    )
    for name, least in (
      ("frame_size", 1),
      ("shard_records", 1),
      ("workers", 0),
    ):
      checked.require(
        getattr(self, name) >= least,
        f"Preparation.{name}={getattr(self, name)} must be at least {least}",
      )
    checked.require(
      1 <= self.jpeg_quality <= 100,
      f"Preparation.jpeg_quality={self.jpeg_quality} must be in 1..100",
    )
    for name in ("max_bad_share", "max_bad_task_share"):
      checked.require(
        0 <= getattr(self, name) <= 1,
        f"Preparation.{name}={getattr(self, name)} must be in 0..1",
      )
