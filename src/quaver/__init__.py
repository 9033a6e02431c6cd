"""Quaver: a neural video codec in low-precision integers. See README.md."""
