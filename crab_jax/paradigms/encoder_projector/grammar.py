"""The conversations of the family, as LLaMA-2 and as Qwen2 write them.

LLaMA-2:

  <s> [INST] <<SYS>>\\n system \\n<</SYS>>\\n\\n user " [/INST]" | answer </s>

and Qwen2 as it always does. A clip of the user turn says what it is:

  This is a video:\\n <video_start> <video> ... <video_end> \\n

"|" is `grammar.CUT`: prompt and answer become ids apart. The answer and the token
that ends it are supervised. The published prompts say nothing else of their clips:
a file of `Data.prompts` with empty lead-ins gives them.

`ADDED` are the tokens that the published code adds to the tokenizer of a language
model, in the order of their ids; the last eight are of its mask decoder and stand
for their ids alone.
"""

from crab_jax.data import grammar

ADDED = (
  "<image>",
  "<image_start>",
  "<image_end>",
  "<video>",
  "<video_start>",
  "<video_end>",
  "<audio>",
  "<audio_start>",
  "<audio_end>",
  "<mask_start>",
  "<mask_end>",
  *(f"<mask_{i}>" for i in range(6)),
)
_PLACEHOLDERS = {"image": "<image>", "video": "<video>", "audio": "<audio>"}
_BOUNDARIES = {
  kind: (f"This is {a} {kind}:\n<{kind}_start>", f"<{kind}_end>\n")
  for a, kind in (("an", "image"), ("a", "video"), ("an", "audio"))
}
QWEN2 = grammar.Grammar(
  special=("<|endoftext|>", "<|im_start|>", "<|im_end|>", *ADDED),
  pad="<|endoftext|>",
  end="<|im_end|>",
  turns={
    "system": ("<|im_start|>system\n", "<|im_end|>\n"),
    "user": ("<|im_start|>user\n", "<|im_end|>\n"),
    "assistant": (
      f"<|im_start|>assistant\n{grammar.CUT}",
      "<|im_end|>\n",
    ),
  },
  answer=(grammar.CUT, ""),
  placeholders=_PLACEHOLDERS,
  boundaries=_BOUNDARIES,
)
LLAMA2 = grammar.Grammar(
  special=("<unk>", "<s>", "</s>", *ADDED),
  # As published: what pads is masked everywhere, so any token would do.
  pad="</s>",
  end="</s>",
  turns={
    "system": ("<s>[INST] <<SYS>>\n", "\n<</SYS>>\n\n"),
    "user": ("", " [/INST]"),
    "assistant": (grammar.CUT, "</s>"),
  },
  answer=(grammar.CUT, ""),
  alternatives=(QWEN2,),
  placeholders=_PLACEHOLDERS,
  boundaries=_BOUNDARIES,
)
