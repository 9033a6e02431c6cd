"""A codec's float networks as ONNX files, the encoder's and the decoder's apart: `--export` of every `run.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from quaver.lab.analyse import CodecAdapter
from quaver.lab.export.modules import ExportedModule, called_with, export_modules


def export_codec(adapter: CodecAdapter, networks: Sequence[str], folder: Path, size: int = 128) -> list[ExportedModule]:
    """encoder/NETWORK.onnx of those that a decoder does not run, decoder/NETWORK.onnx of the others. networks: names of
    modules that are networks and nothing else: rounding and probabilities are no part of them. size: of the two
    noisy frames that show what each of them gets."""
    generator = torch.Generator().manual_seed(0)

    def frames() -> None:
        state, points = None, torch.zeros(1, dtype=torch.long)
        for _ in range(2):
            planes = [torch.randint(256, (1, side, side), generator=generator) for side in (size, size // 2, size // 2)]
            y, u, v = (plane.to(torch.uint8) for plane in planes)
            state = adapter.step((y, u, v), state, points).state

    parts = called_with(adapter.module, networks, frames)
    return export_modules({f"{_side(adapter, name)}/{name}": part for name, part in parts.items()}, folder)


def _side(adapter: CodecAdapter, name: str) -> str:
    inside = any(name == part or name.startswith(f"{part}.") for part in adapter.encoder_only)
    return "encoder" if inside else "decoder"


def give_weights(adapter: CodecAdapter, file: Path) -> None:
    """Those of `torch.save(model.state_dict(), file)`, or of a training checkpoint that has them as `state_dict`;
    CompressAI's models take their widths from them."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    try:
        adapter.module.load_state_dict(state)
    except RuntimeError:  # of other widths
        if not hasattr(adapter.module, "from_state_dict"):
            raise
        adapter.module = type(adapter.module).from_state_dict(state).eval()
