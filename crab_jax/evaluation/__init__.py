"""Read the answers, score them, draw the report."""
