"""Words in pictures, without a font library: the 5x7 letters of small displays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HEIGHT = 8
_SPACE = np.zeros((_HEIGHT, 3), bool)

# Per letter its columns, left to right, a byte each in hexadecimal; bit 0 is the top row. "_" is an empty column.
_COLUMNS = """
0 3E5149453E 1 427F40 2 4261514946 3 2141454B31 4 1814127F10 5 2745454539 6 3C4A494930 7 0171090503 8 3649494936
9 064949291E A 7E1111117E B 7F49494936 C 3E41414122 D 7F4141221C E 7F49494941 F 7F09090901 G 3E4149497A H 7F0808087F
I 417F41 J 2040413F01 K 7F08142241 L 7F40404040 M 7F020C027F N 7F0408107F O 3E4141413E P 7F09090906 Q 3E4151215E
R 7F09192946 S 4649494931 T 01017F0101 U 3F4040403F V 1F2040201F W 3F4038403F X 6314081463 Y 0708700807 Z 6151494543
a 2054545478 b 7F48444438 c 3844444420 d 384444487F e 3854545418 f 087E090102 g 18A4A49C78 h 7F08040478 i 447D40
j 2040443D k 7F102844 l 417F40 m 7C04180478 n 7C08040478 o 3844444438 p FC18242418 q 18242418FC r 7C08040408
s 4854545420 t 043F444020 u 3C4040207C v 1C2040201C w 3C4030403C x 4428102844 y 4C9090907C z 4464544C44
. 6060 , 5030 : 3636 - 08080808 + 08083E0808 / 2010080402 % 2313086462 ( 1C2241 ) 41221C _ 4040404040
"""


def _glyphs() -> dict[str, NDArray[np.bool_]]:
    words = _COLUMNS.split()
    rows = np.arange(_HEIGHT)[:, None]
    return {
        letter: (np.frombuffer(bytes.fromhex(code), np.uint8) >> rows & 1).astype(bool)
        for letter, code in zip(words[::2], words[1::2], strict=True)
    }


_GLYPHS = _glyphs()


def letters(text: str, scale: int = 2) -> NDArray[np.bool_]:
    """(8 scale, width): where `text` is inked. Letters the set lacks are left blank."""
    gap = np.zeros((_HEIGHT, 1), bool)
    parts = [part for letter in text for part in (_GLYPHS.get(letter, _SPACE), gap)]
    line = np.concatenate(parts, axis=1) if parts else _SPACE
    return line.repeat(scale, 0).repeat(scale, 1)


def caption(text: str, width: int, scale: int = 2) -> NDArray[np.uint8]:
    """RGB (16 scale, width, 3): `text` in near black on white, cut at the right edge."""
    strip = np.full((16 * scale, width, 3), 255, np.uint8)
    inked = letters(text, scale)[:, :width]
    top = 4 * scale
    strip[top : top + inked.shape[0], : inked.shape[1]][inked] = 32
    return strip
