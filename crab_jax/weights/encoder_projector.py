"""A base of CLIP + BEATs + Q-Formers + a language model, from its sources.

Folders of safetensors for the language model and CLIP, BEATs' torch file, and
torch files of projectors (`visual_pretrain.bin`, `audio_pretrain.bin` or
`finetune_weights.bin`) become one `base.Plan`. Where no projectors are given they
are drawn. The embeddings of the added tokens always are: no released file holds
those that were trained.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tokenizers

from crab_jax import configs
from crab_jax import errors
from crab_jax import files
from crab_jax.paradigms.encoder_projector import checkpoint_config
from crab_jax.paradigms.encoder_projector import grammar
from crab_jax.paradigms.encoder_projector import names as family
from crab_jax.weights import base
from crab_jax.weights import hf_config
from crab_jax.weights import names
from crab_jax.weights import shards
from crab_jax.weights import torch_file

# Kind of the vision projector -> frames of a unit; "pooled" takes the ten that
# clips of most sets have.
UNIT_FRAMES = {"qformer": 1, "stc": 2, "pooled": 10}
_SEED = 0  # of what is drawn
_DEVIATION = 0.02  # of drawn embeddings and queries
_HEAD = 64  # columns of a Q-Former's head, which no tensor tells
_FIRST_ADDED = {"llama": 32000, "qwen2": 151646}
_SAFETENSORS = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}

Found = dict[str, list[shards.Tensor]]


@dataclasses.dataclass(frozen=True)
class Sources:
  """Where the parts of a base lie.

  Attributes:
    language_model: a folder of LLaMA or Qwen2.
    vision: a folder of CLIP.
    audio: BEATs' torch file.
    projectors: torch files of projectors; none: they are drawn.
    vision_projector: a key of `UNIT_FRAMES`. No published file holds another
      than "qformer".
  """

  language_model: files.Path
  vision: files.Path
  audio: files.Path
  projectors: tuple[files.Path, ...] = ()
  vision_projector: str = "qformer"


@dataclasses.dataclass(frozen=True)
class _Held(shards.Tensor):
  """A tensor of a torch file, which is mapped and not read."""

  values: np.ndarray

  def read(self, start: int, stop: int) -> np.ndarray:
    rows = self.values[start:stop]
    if not np.isfinite(rows).all():
      raise errors.UserError(
        f"{self.file}: {self.name} holds values that are not finite"
      )
    return rows


def plan(sources: Sources, dtype: str | None = None) -> base.Plan:
  """Checks all sources against each other; what it returns reads itself.

  Args:
    sources: where they lie.
    dtype: of the parameters, "bfloat16" or "float32"; None: that of most of the
      language model.

  Raises:
    UserError: a source is no such network, or all that is missing, unexpected,
      of another shape or set twice, together.
  """
  read, notes, problems = _projectors(sources.projectors)
  fields = hf_config.fields(sources.language_model)
  found, more = shards.contents(
    sources.language_model, family.canonical_language_model
  )
  problems += more
  if dtype is None:
    most = shards.commonest_dtype(found)
    dtype = "bfloat16" if most == "BF16" else "float32"
  tied = fields.get("tie_word_embeddings", False)
  if tied:
    notes += shards.tie(found, family.CHECKPOINT.tied)
  texts, first = _tokenizer(sources.language_model, fields, notes)
  decoder = _from(
    sources.language_model / hf_config.FILE, checkpoint_config.decoder, fields
  )
  model = configs.Model(
    vision=_from(
      sources.vision / hf_config.FILE,
      checkpoint_config.clip,
      hf_config.fields(sources.vision),
      projector=sources.vision_projector,
      unit_frames=UNIT_FRAMES[sources.vision_projector],
      **_query_sizes(read, "clip"),
    ),
    audio=_beats(sources.audio, read, found, notes),
    decoder=dataclasses.replace(decoder, boundary=(first, len(grammar.ADDED))),
    compute_dtype=dtype,
    param_dtype=dtype,
  )
  problems += _clip(sources.vision, model, found, notes)
  found.update(read)
  shapes = base.shapes_of(model)
  rows = [row for row in family.CHECKPOINT.rows if row.path in shapes]
  drawn = [path for path in shapes if _is_drawn(path, read)]
  wanted = [row for row in rows if row.path not in drawn]
  problems += base.problems_of(
    found, base.expected(wanted, family.CHECKPOINT, model, shapes)
  )
  if problems:
    raise errors.UserError(
      f"{sources.language_model}, {sources.vision} and {sources.audio} make no"
      f" base: {'; '.join(problems)}"
    )
  leaves = {
    row.path: base.leaf_of(row, shapes[row.path], dtype, found)
    for row in wanted
  }
  leaves |= {path: _draw(path, shapes[path], dtype) for path in drawn}
  return base.Plan(model, leaves, texts, tuple(notes + _on_drawn(drawn, model)))


def _from(path: files.Path, read: Callable, fields: Any, **more: Any) -> Any:
  """What `read` makes of settings; its ValueError names their file."""
  try:
    return read(fields, **more)
  except (ValueError, TypeError, AttributeError) as error:
    raise errors.UserError(f"{path}: {error}") from error


def _held(path: files.Path, name: str, values: np.ndarray) -> _Held:
  kind = _SAFETENSORS[str(values.dtype)]
  return _Held(path, name, tuple(values.shape), kind, values)


def _projectors(
  paths: Sequence[files.Path],
) -> tuple[Found, list[str], list[str]]:
  """Tensors of projectors by our names, notes, and what is wrong."""
  found: Found = {}
  notes, problems = [], []
  for path in paths:
    tensors = torch_file.read(path)
    text, others, unused = [], [], 0
    for name, values in tensors.items():
      if not family.is_projector(name):
        unused += "lora_" in name
        others += [] if "lora_" in name else [name]
        continue
      ours = family.canonical_projector(name)
      if ours is None:
        text.append(name)
        continue
      if ours.endswith(".query_tokens"):
        values = values.reshape(values.shape[-2:])  # [1, Q, D] -> [Q, D]
      found.setdefault(ours, []).append(_held(path, name, values))
    if len(text) + len(others) + unused == len(tensors):
      problems.append(f"{path} holds no projector")
    if text:
      notes.append(
        f"{path.name}: {len(text)} tensors of the Q-Formers are for text and"
        f" not used: {names.listing(text)}"
      )
    if unused:
      notes.append(
        f"{path.name}: {unused} tensors of its adapter are for"
        " convert adapter-import"
      )
    if others:
      notes.append(
        f"{path.name}: not used, as they are of no projector:"
        f" {names.listing(others)}"
      )
  return found, notes, problems


def _query_sizes(read: Found, top: str) -> dict[str, int]:
  """Fields of `configs` that the tensors of a projector tell."""

  def shape(name: str) -> tuple[int, ...] | None:
    parts = read.get(f"{top}.projector.{name}")
    return parts[0].shape if parts else None

  queries, wide = shape("query_tokens"), shape("layers.0.fc1.weight")
  if queries is None or wide is None:
    return {}
  layers = 0
  while shape(f"layers.{layers}.fc1.weight"):
    layers += 1
  return {
    "queries": queries[0],
    "query_layers": layers,
    "query_width": queries[1],
    "query_heads": max(1, queries[1] // _HEAD),
    "query_mlp": wide[0],
  }


def _clip(
  folder: files.Path, model: configs.Model, found: Found, notes: list[str]
) -> list[str]:
  """Adds CLIP's tensors; returns what is wrong with its files."""
  layers = configs.ClipVision.of(model.vision).layers
  canonical = functools.partial(family.canonical_clip, layers=layers)
  more, problems = shards.contents(folder, canonical)
  found.update(more)
  notes.append(
    f"{folder.name}: layer {layers} and what lies behind it are not used"
  )
  return problems


def _beats(
  path: files.Path, read: Found, found: Found, notes: list[str]
) -> configs.BeatsAudio:
  """Adds BEATs' tensors; returns its settings."""
  tree = torch_file.read_tree(path)
  cfg, tensors = tree.get("cfg"), tree.get("model")
  if not isinstance(cfg, dict) or not isinstance(tensors, dict):
    raise errors.UserError(f'{path} is no BEATs: it lacks "cfg" or "model"')
  if bad := [k for k, x in tensors.items() if not isinstance(x, np.ndarray)]:
    raise errors.UserError(f"{path}: {bad[0]!r} of its model is no tensor")
  audio = _from(
    path, checkpoint_config.beats, cfg, **_query_sizes(read, "beats")
  )
  skipped = [x for x in tensors if family.canonical_beats(x) is None]
  if skipped:
    notes.append(f"{path.name}: not used: {names.listing(skipped)}")
  for name, values in _plain(path, tensors).items():
    ours = family.canonical_beats(name)
    if ours is not None:
      found.setdefault(ours, []).append(_held(path, name, values))
  return audio


def _plain(
  path: files.Path, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """BEATs' tensors, its weight norm multiplied out and its one bias table once.

  Raises:
    UserError: the tables of the layers differ.
  """
  plain = dict(tensors)
  bias = ".self_attn.relative_attention_bias.weight"
  tables = [plain.pop(name) for name in tensors if name.endswith(bias)]
  for other in tables[1:]:
    if not np.array_equal(tables[0], other):
      raise errors.UserError(
        f"{path}: the relative_attention_bias of its layers differ"
      )
  if tables:
    plain["relative_attention_bias"] = tables[0]
  scale = plain.pop("encoder.pos_conv.0.weight_g", None)
  taps = plain.pop("encoder.pos_conv.0.weight_v", None)
  if scale is not None and taps is not None:
    wide = taps.astype(np.float32)
    norm = np.sqrt((wide**2).sum((0, 1), keepdims=True))
    plain["encoder.pos_conv.0.weight"] = wide * scale.astype(np.float32) / norm
  for name, values in plain.items():
    if name.endswith(".grep_a"):
      plain[name] = values.reshape(-1)  # [1, N, 1, 1] -> [N]
  return plain


def _tokenizer(
  folder: files.Path, fields: dict[str, Any], notes: list[str]
) -> tuple[dict[str, str], int]:
  """tokenizer.json with the added tokens, and the first of their ids."""
  first = _FIRST_ADDED.get(fields.get("model_type", ""), 0)
  path = folder / base.TOKENIZER
  notes.append(
    "no chat template is kept: conversations go by the family's own grammar"
  )
  if not path.is_file():
    return {}, first
  try:
    engine = tokenizers.Tokenizer.from_file(str(path))
  except Exception as error:  # the library raises nothing narrower
    raise errors.UserError(f"{path} does not load: {error}") from error
  vocabulary = engine.get_vocab()
  there = [token for token in grammar.ADDED if token in vocabulary]
  if there:
    ids = [vocabulary.get(token) for token in grammar.ADDED]
    start = ids[0]
    if start is None or ids != [*range(start, start + len(ids))]:
      raise errors.UserError(
        f"{path} has {', '.join(there)} already, not all in a row"
      )
    return {base.TOKENIZER: path.read_text()}, start
  first = max(vocabulary.values()) + 1
  engine.add_special_tokens([*grammar.ADDED])
  return {base.TOKENIZER: engine.to_str(pretty=True)}, first


def _is_drawn(path: str, read: Found) -> bool:
  if path == "model/embed_tokens/boundary":
    return True
  top, part, *_ = path.split("/")
  given = any(name.startswith(f"{top}.projector.") for name in read)
  return part == "projector" and not given


def _on_drawn(drawn: list[str], model: configs.Model) -> list[str]:
  """Which parameters no source holds, a line a kind."""
  count = model.decoder.boundary[1]
  lines = [
    f"the embeddings of the {count} added tokens are drawn anew (seed {_SEED},"
    f" deviation {_DEVIATION}): no released file holds those that its projectors"
    ' and adapter were trained with; a Stage that trains "boundary" adapts them'
  ]
  for top, name in (("clip", "vision"), ("beats", "audio")):
    if any(path.startswith(f"{top}/projector/") for path in drawn):
      lines.append(
        f"the {name} projector is drawn (seed {_SEED}): a Stage that trains"
        ' "projectors" must come first'
      )
  return lines


def _draw(path: str, shape: tuple[int, ...], dtype: str) -> base.Leaf:
  """A parameter that no source holds."""
  kind = base.numpy_dtype(dtype)

  def blocks() -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    seed = [_SEED, *path.encode()]
    drawn = np.random.default_rng(seed).standard_normal(shape)
    name = path.rpartition("/")[2]
    if name in ("kernel", "taps"):
      values = drawn / math.sqrt(shape[-2])
    elif name in ("query_tokens", "boundary"):
      values = drawn * _DEVIATION
    else:  # of a norm, or a bias
      values = np.full(shape, float(name == "weight"))
    yield (0,) * len(shape), values.astype(kind)

  return base.Leaf(shape, kind, shape, blocks)
