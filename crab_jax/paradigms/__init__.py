"""AV-LLM families, and the thinker that joins their encoders and decoder."""
