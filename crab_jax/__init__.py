"""crab_jax: unified audio-visual scene understanding in JAX for TPU pods."""

__version__ = "0.1.0"
