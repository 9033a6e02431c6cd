"""Training data: clips decoded once into memory maps, and batches that are pure functions of (seed, step)."""
