"""From answers to masks: prompts for SAM 2.1, its programs, rows with masks."""
