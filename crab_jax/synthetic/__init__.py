"""The embedded procedural world: a small AV-UIE v2 made of real files."""
