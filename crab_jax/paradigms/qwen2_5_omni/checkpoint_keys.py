"""Every key that the config.json of a Qwen2.5-Omni can have, part by part.

A key is read by `checkpoint_config`, has one supported value, acts in training
alone, or says nothing about the network. `check` refuses another value of the
second kind; `notes` tells of the third, and of keys that are unknown here.
transformers sets an unknown key as an attribute that its network never reads.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

THINKER = "thinker_config"
PARTS = ("audio_config", "vision_config", "text_config")

# part -> its keys that become settings of ours.
READ: Mapping[str, tuple[str, ...]] = {
  "config": (THINKER, "model_type"),
  THINKER: (
    *PARTS,
    "position_id_per_seconds",
    "tie_word_embeddings",
    "model_type",
  ),
  "audio_config": (
    "num_mel_bins",
    "encoder_layers",
    "d_model",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "max_source_positions",
    "n_window",
    "output_dim",
  ),
  "vision_config": (
    "depth",
    "hidden_size",
    "num_heads",
    "intermediate_size",
    "patch_size",
    "temporal_patch_size",
    "spatial_merge_size",
    "window_size",
    "fullatt_block_indexes",
    "out_hidden_size",
    "head_dim",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
  ),
  "text_config": (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "layer_types",
    "tie_word_embeddings",
  ),
}

# part -> another name of a key -> the key (transformers' `attribute_map`).
ALIASES: Mapping[str, Mapping[str, str]] = {
  "vision_config": {
    "num_attention_heads": "num_heads",
    "num_hidden_layers": "depth",
  },
  "audio_config": {
    "num_hidden_layers": "encoder_layers",
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "intermediate_size": "encoder_ffn_dim",
  },
}

# Of every part: weights that are no plain numbers, and layers that differ.
_ONLY_EVERYWHERE: Mapping[str, tuple[Any, ...]] = {
  "quantization_config": (None,),
  "compression_config": (None,),
  "per_layer_config": (None, {}),
  "pruned_heads": (None, {}),
}

# part -> key -> the values that the thinker computes.
ONLY: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
  "config": _ONLY_EVERYWHERE,
  THINKER: _ONLY_EVERYWHERE,
  "audio_config": {
    **_ONLY_EVERYWHERE,
    "activation_function": ("gelu",),
    "scale_embedding": (False,),
  },
  "vision_config": {
    **_ONLY_EVERYWHERE,
    "hidden_act": ("silu", "swish"),
    "in_channels": (3,),
    "in_chans": (3,),
    "partial_rotary_factor": (None, 1),
  },
  "text_config": {
    **_ONLY_EVERYWHERE,
    "hidden_act": ("silu", "swish"),
    "use_sliding_window": (False, None),
    "partial_rotary_factor": (None, 1),
  },
}

# Dropout and the like: the thinker here trains without.
TRAINING: Mapping[str, tuple[str, ...]] = {
  "audio_config": (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "encoder_layerdrop",
  ),
  "text_config": ("attention_dropout",),
}

# Why a key says nothing about the network -> the keys, of any part.
IDLE: Mapping[str, tuple[str, ...]] = {
  "who wrote the file, and with what": (
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "auto_map",
    "model_type",  # of a part; that of the whole is read
    "name_or_path",
    "transformers_version",
  ),
  "the dtype is that of the tensors": (
    "dtype",
    "torch_dtype",
    "use_bfloat16",
  ),
  "the initial values of weights that are overwritten": (
    "init_std",
    "initializer_range",
  ),
  "what a call returns, and how it is computed": (
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_experts_implementation",
    "attn_implementation",
    "chunk_size_feed_forward",
    "experts_implementation",
    "gradient_checkpointing",
    "keys_to_ignore_at_inference",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "tie_last_hidden_states",
    "torchscript",
    "use_cache",
    "use_return_dict",
  ),
  "of classifiers and of encoders with a decoder": (
    "add_cross_attention",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "finetuning_task",
    "id2label",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "num_labels",
    "problem_type",
    "task_specific_params",
    "tf_legacy_loss",
    "tie_encoder_decoder",
  ),
  "of sampling and of the loss": (
    "assistant_confidence_threshold",
    "assistant_lookbehind",
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "ignore_index",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "suppress_tokens",
    "target_lookbehind",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
  ),
  "tokens are found in tokenizer.json by their text": (
    "audio_end_token_id",
    "audio_start_token_id",
    "audio_token_id",
    "audio_token_index",
    "bos_token_id",
    "eos_token_id",
    "image_token_id",
    "image_token_index",
    "pad_token_id",
    "prefix",
    "sep_token_id",
    "tokenizer_class",
    "user_token_id",
    "video_token_id",
    "video_token_index",
    "vision_end_token_id",
    "vision_start_token_id",
    "vision_token_id",
  ),
  "of sound that is interleaved with its video": ("seconds_per_chunk",),
  "of speech output": (
    "enable_audio_output",
    "enable_talker",
    "talker_config",
    "token2wav_config",
  ),
  "in released files; transformers' network does not read it": (
    "embed_dim",
    "spatial_patch_size",
    "tokens_per_second",  # of Qwen2.5-VL; here position_id_per_seconds
  ),
  "the biases are what the tensors are": (
    "attention_bias",
    "mlp_bias",
    "qkv_bias",
  ),
  # Without use_sliding_window, which is refused.
  "of sliding windows, which are off": ("max_window_layers", "sliding_window"),
}
_IDLE = frozenset(key for keys in IDLE.values() for key in keys)
# Of the outer object where the thinker is a part; it ties nothing of ours.
_IDLE_OUTSIDE = ("tie_word_embeddings",)


def is_known(part: str, key: str) -> bool:
  """Whether something here says what becomes of a key of a part."""
  return (
    key in READ[part]
    or key in ALIASES.get(part, {})
    or key in ONLY[part]
    or key in TRAINING.get(part, ())
    or key in _IDLE
    or (part == "config" and key in _IDLE_OUTSIDE)
  )


def check(part: str, fields: Mapping[str, Any]) -> None:
  """Refuses what the thinker does not compute.

  Raises:
    ValueError: a key has another value than the supported ones.
  """
  for key, values in ONLY[part].items():
    if key in fields and fields[key] not in values:
      raise ValueError(
        f"{key} of {part} is {_spelt(fields[key])}, and the thinker has"
        f" {' or '.join(repr(value) for value in values)}"
      )


def without_aliases(part: str, fields: Mapping[str, Any]) -> dict[str, Any]:
  """The fields with every key under its own name.

  Raises:
    ValueError: two names of a key have different values.
  """
  names = ALIASES.get(part, {})
  found = {key: x for key, x in fields.items() if key not in names}
  for alias, key in names.items():
    if alias in fields and found.setdefault(key, fields[alias]) != (
      value := fields[alias]
    ):
      raise ValueError(
        f"{key} of {part} is {found[key]!r}, and {alias}, another name of it,"
        f" is {value!r}"
      )
  return found


def notes(part: str, fields: Mapping[str, Any]) -> Iterator[str]:
  """What a user should know of keys that are not taken over, a line each."""
  for key in TRAINING.get(part, ()):
    if fields.get(key):
      yield (
        f"{key} of {part} is {fields[key]!r}: it acts in training alone, and"
        " training here goes without it"
      )
  unknown = [key for key in fields if not is_known(part, key)]
  if unknown:
    spelt = ", ".join(f"{key}={_spelt(fields[key])}" for key in unknown)
    yield f"{part} has keys that are unknown here and not read: {spelt}"


def _spelt(value: Any) -> str:
  text = repr(value)
  return text if len(text) <= 60 else f"{text[:57]}..."
