"""A whole run of an experiment: groundwork, stages, answers, report."""
