"""From annotations and media to packed batches."""
