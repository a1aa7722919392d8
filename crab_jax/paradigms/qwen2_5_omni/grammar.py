"""The conversations of Qwen2.5-Omni.

  turn   := <|im_start|> role "\\n" body <|im_end|> "\\n"
  clip   := <|vision_bos|> <|IMAGE|> <|vision_eos|>
          | <|vision_bos|> <|VIDEO|> <|vision_eos|>
          | <|audio_bos|>  <|AUDIO|> <|audio_eos|>
  header := <|im_start|> "assistant" "\\n"

Supervised is what stands behind the word "assistant": the line end, the answer
and <|im_end|>.
"""

from crab_jax.data import grammar

PAD = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
AUDIO = "<|AUDIO|>"
AUDIO_BOS = "<|audio_bos|>"
AUDIO_EOS = "<|audio_eos|>"
VISION_BOS = "<|vision_bos|>"
VISION_EOS = "<|vision_eos|>"
VISION_PAD = "<|vision_pad|>"
IMAGE = "<|IMAGE|>"
VIDEO = "<|VIDEO|>"

GRAMMAR = grammar.Grammar(
  special=(
    PAD,
    IM_START,
    IM_END,
    AUDIO,
    AUDIO_BOS,
    AUDIO_EOS,
    VISION_BOS,
    VISION_EOS,
    VISION_PAD,
    IMAGE,
    VIDEO,
  ),
  pad=PAD,
  end=IM_END,
  placeholders={"image": IMAGE, "video": VIDEO, "audio": AUDIO},
  boundaries={
    "image": (VISION_BOS, VISION_EOS),
    "video": (VISION_BOS, VISION_EOS),
    "audio": (AUDIO_BOS, AUDIO_EOS),
  },
  turns={
    role: (f"{IM_START}{role}\n", f"{IM_END}\n")
    for role in ("system", "user", "assistant")
  },
  answer=(IM_START, "assistant"),
)
