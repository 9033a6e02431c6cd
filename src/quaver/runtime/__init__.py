"""What a decoder computes: pictures, prediction, transform. Integers only; docs/format/arithmetic.md defines it."""
