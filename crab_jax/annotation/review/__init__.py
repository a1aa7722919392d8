"""Review of drafts by people: a local page, and what they decide."""
