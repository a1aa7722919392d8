"""Readers of the annotation files that the sets' authors publish."""
