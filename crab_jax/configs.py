"""Every setting of crab_jax: frozen dataclasses, checked when they are made.

The classes know nothing of gin; `gin_utils` binds them. A field's comment
gives its unit and its legal range; a contradiction raises ValueError with the
names of the fields concerned. `tiny`, `qwen2_5_omni_3b` and `qwen2_5_omni_7b`
are the three model sizes.
"""

import dataclasses
import typing

import beartype
import beartype.door

# Pixels of the coordinate frame that all boxes and points of AV-UIE v2 use,
# whatever the size of the frames that the vision tower sees.
COORDINATE_SIZE = 224
SAMPLE_RATE = 16_000  # Hz
MEL_FRAME_RATE = 100  # mel frames per second: a hop of 160 samples


_CONF = beartype.BeartypeConf(is_pep484_tower=True)  # an int is a float


def _require(condition: bool, message: str) -> None:
  if not condition:
    raise ValueError(message)


class Checked:
  """Checks the types of a dataclass's fields, then what `check` demands."""

  def __post_init__(self):
    for name, hint in typing.get_type_hints(type(self)).items():
      value = getattr(self, name)
      if not beartype.door.is_bearable(value, hint, conf=_CONF):
        raise TypeError(
          f"{type(self).__name__}.{name} = {value!r} must be of type"
          f" {getattr(hint, '__name__', hint)}"
        )
    self.check()

  def check(self) -> None:
    """Raises ValueError if fields contradict each other."""


@dataclasses.dataclass(frozen=True)
class AudioTower(Checked):
  """The audio encoder (Qwen2.5-Omni: a Whisper-like encoder, chunked)."""

  mel_bins: int = 128  # log-mel filters
  layers: int = 32
  width: int = 1280
  heads: int = 20  # divides width
  mlp: int = 5120
  chunk_frames: int = 200  # mel frames a chunk (2 s); attention stays inside
  pool: int = 2  # encoder positions averaged into one token

  def check(self):
    _require(
      self.width % self.heads == 0 and self.width % 2 == 0,
      f"AudioTower.width={self.width} must be even and a multiple of"
      f" AudioTower.heads={self.heads}",
    )
    _require(
      self.chunk_frames % (2 * self.pool) == 0,
      f"AudioTower.chunk_frames={self.chunk_frames} must be a multiple of"
      f" 2 * AudioTower.pool={2 * self.pool}",
    )

  @property
  def chunk_positions(self) -> int:
    """Encoder positions of a full chunk (the second convolution halves)."""
    return self.chunk_frames // 2

  @property
  def chunk_tokens(self) -> int:
    """Audio tokens of a full chunk."""
    return self.chunk_positions // self.pool


@dataclasses.dataclass(frozen=True)
class VisionTower(Checked):
  """The vision encoder: windowed attention with a few full blocks."""

  frame_size: int = 224  # pixels, square; a multiple of patch * merge
  layers: int = 32
  width: int = 1280
  heads: int = 16  # divides width; the head size is a multiple of 4
  mlp: int = 3420
  patch: int = 14  # pixels
  temporal_patch: int = 2  # frames in a patch: a "frame pair"
  merge: int = 2  # merge x merge patches become one token
  window: int = 112  # pixels; a multiple of patch * merge
  full_blocks: tuple[int, ...] = (7, 15, 23, 31)  # attend to the whole frame

  def check(self):
    token = self.patch * self.merge
    for name in ("frame_size", "window"):
      _require(
        getattr(self, name) % token == 0,
        f"VisionTower.{name}={getattr(self, name)} must be a multiple of"
        f" patch * merge = {token} pixels",
      )
    _require(
      self.frame_size % self.window == 0,
      f"VisionTower.frame_size={self.frame_size} must be a multiple of"
      f" VisionTower.window={self.window}",
    )
    _require(
      self.width % (4 * self.heads) == 0,
      f"VisionTower.width={self.width} must be a multiple of"
      f" 4 * VisionTower.heads={4 * self.heads} (two rotary axes)",
    )
    _require(
      all(0 <= block < self.layers for block in self.full_blocks),
      f"VisionTower.full_blocks={self.full_blocks} must lie in"
      f" 0..{self.layers - 1}",
    )

  @property
  def grid(self) -> int:
    """Patches along one side of a frame."""
    return self.frame_size // self.patch

  @property
  def pair_patches(self) -> int:
    """Patches of one frame pair."""
    return self.grid**2

  @property
  def pair_tokens(self) -> int:
    """Vision tokens of one frame pair."""
    return (self.grid // self.merge) ** 2


@dataclasses.dataclass(frozen=True)
class Decoder(Checked):
  """The language model (Qwen2.5 with multimodal rotary positions)."""

  layers: int = 28
  width: int = 3584
  heads: int = 28  # query heads
  kv_heads: int = 4  # divides heads
  head_size: int = 128
  mlp: int = 18944
  vocabulary: int = 152064  # rows of the embedding table
  rope_theta: float = 1e6
  rope_sections: tuple[int, int, int] = (16, 24, 24)  # t, h, w; sum head/2
  context: int = 32768  # tokens that a sequence can have, > 0

  def check(self):
    _require(
      self.context > 0, f"Decoder.context={self.context} must be positive"
    )
    _require(
      self.heads % self.kv_heads == 0,
      f"Decoder.heads={self.heads} must be a multiple of"
      f" Decoder.kv_heads={self.kv_heads}",
    )
    _require(
      2 * sum(self.rope_sections) == self.head_size,
      f"Decoder.rope_sections={self.rope_sections} must sum to half of"
      f" Decoder.head_size={self.head_size}",
    )


@dataclasses.dataclass(frozen=True)
class ILora(Checked):
  """Interaction-aware LoRA: a shared A, several B heads, a router per token.

  Reference: Crab+, arXiv 2603.04128. The baselines of the paper are settings:
  plain LoRA is heads=1; the uniform mixture is router="uniform"; MoE-LoRA is
  shared_a=False.
  """

  rank: int = 128  # >= 1
  heads: int = 3  # B heads, >= 1
  alpha: float = 256.0  # the update is scaled by alpha / rank
  dropout: float = 0.1  # of the input of A, in [0, 1)
  targets: str = "lm+towers"  # "lm": the decoder only
  router: str = "token"  # "uniform": every head weighs 1 / heads
  shared_a: bool = True  # False: one A for every head
  shared_mask: bool = False  # True: q/k/v (gate/up) share one dropout mask

  def check(self):
    _require(self.rank >= 1, f"ILora.rank={self.rank} must be at least 1")
    _require(self.heads >= 1, f"ILora.heads={self.heads} must be at least 1")
    _require(
      0 <= self.dropout < 1, f"ILora.dropout={self.dropout} must be in [0, 1)"
    )
    _require(
      self.targets in ("lm", "lm+towers"),
      f'ILora.targets={self.targets!r} must be "lm" or "lm+towers"',
    )
    _require(
      self.router in ("token", "uniform"),
      f'ILora.router={self.router!r} must be "token" or "uniform"',
    )

  @property
  def scale(self) -> float:
    return self.alpha / self.rank


@dataclasses.dataclass(frozen=True)
class Model(Checked):
  """The thinker: towers, projectors and decoder, with or without adapter."""

  audio: AudioTower = AudioTower()
  vision: VisionTower = VisionTower()
  decoder: Decoder = Decoder()
  adapter: ILora | None = None
  compute_dtype: str = "bfloat16"  # "float32": laptops and parity tests
  param_dtype: str = "bfloat16"  # of the base weights; adapters are float32
  remat: str = "full"  # "none", "full", "projections": models/scanning.py
  tower_remat: str | None = None  # the same of the towers; None: as remat
  logit_chunk: int = 1024  # supervised positions a chunk, on all devices

  def check(self):
    for name in ("compute_dtype", "param_dtype"):
      _require(
        getattr(self, name) in ("bfloat16", "float32"),
        f'Model.{name}={getattr(self, name)!r} must be "bfloat16" or "float32"',
      )
    for name in ("remat", "tower_remat"):
      _require(
        getattr(self, name) in (None, "none", "full", "projections")
        and self.remat is not None,
        f"Model.{name}={getattr(self, name)!r} must be none, full or"
        " projections",
      )


def qwen2_5_omni_7b(**changes) -> Model:
  """The thinker of Qwen2.5-Omni-7B: 8,931,806,720 parameters.

  The released file has 7,168 more: an embedding that nothing reads.
  """
  return Model(**changes)


def qwen2_5_omni_3b(**changes) -> Model:
  """The thinker of Qwen2.5-Omni-3B: 4,703,460,352 parameters.

  The released file has 4,096 more: an embedding that nothing reads.
  """
  decoder = Decoder(
    layers=36,
    width=2048,
    heads=16,
    kv_heads=2,
    mlp=11008,
    vocabulary=151936,
  )
  return Model(decoder=decoder, **changes)


def tiny(**changes) -> Model:
  """A thinker that two CPU cores can train: the same code at a small size."""
  fields = {
    "audio": AudioTower(
      mel_bins=64, layers=1, width=64, heads=2, mlp=128, pool=10
    ),
    "vision": VisionTower(
      frame_size=112,
      layers=2,
      width=64,
      heads=2,
      mlp=192,
      patch=28,
      full_blocks=(1,),
    ),
    "decoder": Decoder(
      layers=4,
      width=128,
      heads=4,
      kv_heads=2,
      head_size=32,
      mlp=384,
      vocabulary=2048,
      rope_sections=(4, 6, 6),
    ),
    "compute_dtype": "float32",
    "param_dtype": "float32",
    "remat": "none",
  }
  return Model(**{**fields, **changes})


@dataclasses.dataclass(frozen=True)
class World(Checked):
  """The embedded synthetic AV-UIE: how much of it, and how it is written."""

  seed: int = 0
  train_samples: int = 240  # records of train.json, each dataset
  val_samples: int = 24  # records of val.json, each dataset
  test_samples: int = 32  # records of test.json, each dataset that has one
  video_size: int = 112  # pixels, square, of the mp4 and jpg files
  video_fps: int = 4  # frames per second of the mp4 files

  def check(self):
    for name in ("train_samples", "val_samples", "test_samples"):
      _require(
        getattr(self, name) >= 4,
        f"World.{name}={getattr(self, name)} must be at least 4",
      )


@dataclasses.dataclass(frozen=True)
class Preparation(Checked):
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
    _require(
      self.frame_format in ("jpeg", "png"),
      f'Preparation.frame_format={self.frame_format!r} must be "jpeg" or "png"',
    )
    for name, least in (
      ("frame_size", 1),
      ("shard_records", 1),
      ("workers", 0),
    ):
      _require(
        getattr(self, name) >= least,
        f"Preparation.{name}={getattr(self, name)} must be at least {least}",
      )
    _require(
      1 <= self.jpeg_quality <= 100,
      f"Preparation.jpeg_quality={self.jpeg_quality} must be in 1..100",
    )
    for name in ("max_bad_share", "max_bad_task_share"):
      _require(
        0 <= getattr(self, name) <= 1,
        f"Preparation.{name}={getattr(self, name)} must be in 0..1",
      )


@dataclasses.dataclass(frozen=True)
class Rows(Checked):
  """The static shape of a packed row, and how many make a step."""

  rows: int = 16  # rows a step, over all devices and hosts
  tokens: int = 2048  # tokens a row (T)
  frame_pairs: int = 16  # frame pairs a row
  chunks: int = 24  # audio chunks a row
  supervised: int = 512  # loss positions a row
  samples: int = 24  # samples a row at most
  waiting: int = 64  # samples that wait for a row that they fill

  def check(self):
    for field in dataclasses.fields(self):
      _require(
        getattr(self, field.name) >= 1,
        f"Rows.{field.name}={getattr(self, field.name)} must be at least 1",
      )


@dataclasses.dataclass(frozen=True)
class Data(Checked):
  """The input pipeline: what is read and how it becomes rows."""

  prompts: str | None = None  # a prompt file that replaces ours (JSON)
  chat_template: str | None = None  # a jinja2 file; None: ours
  tokenizer: str | None = None  # a tokenizer.json; None: train one
  seconds_per_pair: float = 2.0  # seconds a frame pair claims to last
  true_seconds: bool = False  # True: the clip's own seconds instead
  positions_per_second: int = 25  # rope positions a second of video
  shuffle_window: int = 512  # samples of the mixture; 1: off
  workers: int = 0  # worker processes; 0: threads of this process
  threads: int = 2  # reader threads
  prefetch: int = 4  # batches ready before they are asked for
  seed: int = 42
  max_bad_share: float = 0.001  # of the records read that fail; more: stop
  max_bad_task_share: float = 0.01  # of those of one dataset


@dataclasses.dataclass(frozen=True)
class Optimizer(Checked):
  """AdamW with clipping, linear warm-up and a cosine to `final`."""

  peak: float = 1e-4  # learning rate after warm-up
  final: float = 0.0  # learning rate at the last step, as a share of peak
  warmup: float = 0.03  # share of the steps
  b1: float = 0.9
  b2: float = 0.999
  eps: float = 1e-8
  weight_decay: float = 0.0
  clip: float = 1.0  # global gradient norm


@dataclasses.dataclass(frozen=True)
class Stage(Checked):
  """One stage of training: what it reads, what it trains, for how long."""

  name: str
  steps: int
  trains: str  # "all" or "adapter"
  optimizer: Optimizer = Optimizer()
  mixture: dict[str, float] | None = None  # dataset -> weight; None: by size
  rows: Rows = Rows()
  accumulate: int = 1  # micro-batches a step
  targets: str = "reasoning"  # "answer": only the tagged answer

  def check(self):
    _require(
      self.trains in ("all", "adapter"),
      f'Stage.trains={self.trains!r} must be "all" or "adapter"',
    )
    _require(self.steps >= 1, f"Stage.steps={self.steps} must be at least 1")
    _require(
      self.rows.rows % self.accumulate == 0,
      f"Rows.rows={self.rows.rows} must be a multiple of"
      f" Stage.accumulate={self.accumulate}",
    )
    _require(
      self.targets in ("reasoning", "answer"),
      f'Stage.targets={self.targets!r} must be "reasoning" or "answer"',
    )


@dataclasses.dataclass(frozen=True)
class Mesh(Checked):
  """How the step is spread over devices."""

  strategy: str = "pmap"  # "pmap": data parallel; "mesh": jit over a mesh
  data: int = -1  # devices along each axis; -1: what is left
  fsdp: int = 1
  tensor: int = 1
  # logical axis -> mesh axes, in place of entries of training.sharding.RULES
  rules: dict[str, tuple[str, ...]] | None = None
  topology: str | None = None  # the TPU slice it is meant for, e.g. "v5e:4x4"

  def check(self):
    _require(
      self.strategy in ("pmap", "mesh"),
      f'Mesh.strategy={self.strategy!r} must be "pmap" or "mesh"',
    )
    for name in ("data", "fsdp", "tensor"):
      size = getattr(self, name)
      _require(
        size == -1 or size >= 1, f"Mesh.{name}={size} must be -1 or at least 1"
      )


@dataclasses.dataclass(frozen=True)
class Saving(Checked):
  """Checkpoints."""

  every: int = 200  # steps
  keep: int = 3  # newest checkpoints kept


@dataclasses.dataclass(frozen=True)
class Logging(Checked):
  """What a run writes while it trains."""

  every: int = 10  # steps between two lines of metrics.jsonl
  router_every: int = 50  # steps between two router statistics; 0: never
  tensorboard: bool = True
  wandb: bool = False  # needs the extra "wandb"


@dataclasses.dataclass(frozen=True)
class Validation(Checked):
  """What a stage is judged by while it trains, on the records of "val"."""

  every: int = 0  # steps between two validations; 0: none
  batches: int = 16  # of Rows.rows rows, at most, for the loss by dataset
  clips: int = 0  # of each dataset, decoded and scored; 0: none
  # "loss" or "score", of all or of one dataset ("loss/ave"): the checkpoint
  # that is best by it is kept, and the stage hands it on. None: the last one.
  best: str | None = None

  def check(self):
    for name, least in (("every", 0), ("batches", 1), ("clips", 0)):
      value = getattr(self, name)
      _require(
        value >= least, f"Validation.{name}={value} must be at least {least}"
      )
    if self.best is None:
      return
    kind = self.best.split("/")[0]
    _require(
      kind in ("loss", "score"),
      f'Validation.best={self.best!r} must be "loss", "score", or one of them'
      ' of a dataset, as "loss/ave"',
    )
    _require(
      self.every > 0, f"Validation.best={self.best!r} needs Validation.every"
    )
    _require(
      kind == "loss" or self.clips > 0,
      f"Validation.best={self.best!r} needs Validation.clips",
    )


@dataclasses.dataclass(frozen=True)
class Evaluation(Checked):
  """Decoding of held-out clips."""

  batch: int = 16  # prompts decoded together
  max_new_tokens: int = 96
  limit: int | None = None  # clips a dataset at most; None: all
  tasks: tuple[str, ...] | None = None  # None: all that have a reference


@dataclasses.dataclass(frozen=True)
class Transfer(Checked):
  """A study of positive transfer: what is trained and compared.

  Every cell tunes one adapter on the same frozen backbone; see
  `ablation.grid`. The adapters are changes of `Model.adapter`.
  """

  tasks: tuple[str, ...] | None = None  # datasets compared; None: all there are
  methods: tuple[str, ...] = (  # rows of ablation.grid.METHODS
    "lora",
    "lora_wide",
    "uniform",
    "separate_a",
    "ilora_e2",
    "ilora_e3",
    "ilora_e4",
  )
  baseline: str = "lora"  # the method of the cells with one dataset
  targets: tuple[str, ...] = ("reasoning", "answer")  # as Stage.targets
  seeds: tuple[int, ...] = (0, 1, 2)  # of adapter, dropout and data order
  samples: int = 240  # of each dataset that a cell sees, >= 1
  same_steps: tuple[str, ...] = ("reasoning",)  # targets of the second reading
  pairs: tuple[str, ...] = ("ilora_e3",)  # methods of the family matrix
  pair_targets: str = "reasoning"
  optimizer: Optimizer = Optimizer()
  rows: Rows = Rows()
  loss_samples: int = 32  # validation records a dataset for the loss
  claim_minutes: float = 10.0  # a machine silent for so long has lost its cell

  def check(self):
    for name in ("methods", "targets", "seeds"):
      values = getattr(self, name)
      _require(
        len(set(values)) == len(values) > 0,
        f"Transfer.{name}={values} must have one or more, each once",
      )
    for name in ("targets", "same_steps"):
      _require(
        set(getattr(self, name)) <= {"reasoning", "answer"},
        f'Transfer.{name}={getattr(self, name)} may have "reasoning", "answer"',
      )
    _require(
      self.pair_targets in self.targets
      and set(self.same_steps) <= set(self.targets),
      f"Transfer.pair_targets={self.pair_targets!r} and Transfer.same_steps="
      f"{self.same_steps} must be among Transfer.targets={self.targets}",
    )
    for name in ("samples", "loss_samples"):
      _require(
        getattr(self, name) >= 1,
        f"Transfer.{name}={getattr(self, name)} must be at least 1",
      )
    _require(
      self.claim_minutes > 0,
      f"Transfer.claim_minutes={self.claim_minutes} must be above 0",
    )


@dataclasses.dataclass(frozen=True)
class Experiment(Checked):
  """Everything that one run of `crab_jax.train` needs to know."""

  model: Model
  stages: list[Stage]
  data: Data = Data()
  mesh: Mesh = Mesh()
  saving: Saving = Saving()
  logging: Logging = Logging()
  validation: Validation = Validation()
  evaluation: Evaluation = Evaluation()
  preparation: Preparation = Preparation()
  world: World | None = None  # make the embedded dataset and use it
  records: str | None = None  # prepared records; None: those of `world`
  base: str | None = None  # a converted checkpoint; None: random weights
  seed: int = 0  # of parameters and dropout
  # Folder of compiled programs. None: in the work directory, which outlives a
  # machine that is taken away; "off": none.
  compiled: str | None = None
  transfer: Transfer | None = None  # for `crab_jax.transfer` only

  def check(self):
    _require(
      (self.world is None) != (self.records is None),
      "set one of Experiment.world and Experiment.records, not both or none",
    )
    names = [stage.name for stage in self.stages]
    _require(
      len(set(names)) == len(names) > 0,
      f"Experiment.stages must have names of their own, got {names}",
    )
    _require(
      self.model.adapter is not None
      or all(stage.trains != "adapter" for stage in self.stages),
      'a Stage with trains="adapter" needs Model.adapter',
    )
