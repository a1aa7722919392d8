"""Training: the state, the step, how it is spread, saved and watched."""
