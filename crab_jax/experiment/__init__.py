"""A whole run of an experiment: setup, stages, answers, report."""
