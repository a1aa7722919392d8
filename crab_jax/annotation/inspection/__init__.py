"""Whether a copy of AV-UIE is complete, and as this project assumes."""
