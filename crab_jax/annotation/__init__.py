"""From one's own clips and labels to annotations with reasoning."""
