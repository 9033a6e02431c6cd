"""Quantization: plans, quantizers, observers, grouping. Numerics are pure functions; attaching is by layer name."""
