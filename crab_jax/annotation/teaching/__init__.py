"""A teacher behind an OpenAI-style endpoint, which writes the reasoning."""
