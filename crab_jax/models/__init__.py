"""The thinker of Qwen2.5-Omni with I-LoRA, in Flax Linen."""
