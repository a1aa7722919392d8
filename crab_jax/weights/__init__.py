"""Weights in and out: the base checkpoint and the adapter, exactly."""
