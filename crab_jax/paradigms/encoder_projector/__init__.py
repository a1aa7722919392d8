"""Frozen CLIP and BEATs, a Q-Former each, and LLaMA-2 or Qwen2."""
