"""The codec in torch: the modules of a frame's path. `codec.py` is the path."""
