"""Differentiable twins of the integer arithmetic: equal forward bit for bit, straight-through backward."""
