"""Qwen2.5-Omni: the first AV-LLM family."""
