"""How many answers are made at the same time, and what each has room for."""

import dataclasses

from crab_jax.configs import checked

_MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Slots(checked.Checked):
  """The engine of a server. All memory is reserved at the start."""

  slots: int = 8  # answers at the same time; 16 suits a TPU host
  prompt_tokens: int = 1536  # of the longest prompt
  new_tokens: int = 512  # of the longest answer
  # Room for text beside ten frames and twenty seconds; what is longer than this
  # and than the prompts of tasks is padded to the longest prompt.
  text_tokens: int = 192
  # Tokens that a prompt may have behind its media and still share the keys and
  # values of them with other prompts about the same media.
  suffix_tokens: int = 64
  prefix_bytes: int = (
    256 * _MEBIBYTE
  )  # of shared keys and values; 0: no sharing
  queue: int = 64  # jobs that wait; the tasks of one clip count as one
  burst: int = 8  # decoding steps without a pause at most
  # That they may take: at the end of each the host hands tokens on, and on a CPU
  # the rows in use are copied.
  burst_seconds: float = 0.1
  # How decoding reads the frozen projections of the decoder; None: as the
  # model stores them. The answers then differ in rare tokens.
  decode_dtype: str | None = None  # "bfloat16" or "int8"

  def check(self) -> None:
    checked.require_positive(
      self,
      "slots",
      "prompt_tokens",
      "new_tokens",
      "text_tokens",
      "suffix_tokens",
      "queue",
      "burst",
      "burst_seconds",
    )
    checked.require(
      self.prefix_bytes >= 0, f"Slots.prefix_bytes={self.prefix_bytes} < 0"
    )
    checked.require(
      self.decode_dtype in (None, "bfloat16", "int8"),
      f'Slots.decode_dtype={self.decode_dtype!r} must be None, "bfloat16" or'
      ' "int8"',
    )
