"""Training: recipes of stages, run by `loop`."""
