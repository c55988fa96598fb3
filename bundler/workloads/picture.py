"""A picture of a few colours, drawn and written as PNG with nothing but zlib: the agent carries no drawing library.

PNG as the W3C's specification has it (third edition): signature, IHDR, PLTE, IDAT, IEND, colour type 3, no filters.
"""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = ((255, 255, 255), (60, 60, 60), (225, 225, 225), (31, 119, 180), (165, 200, 228))
"""White, ink, grid, a line, a paler line."""
WHITE, INK, GRID, LINE, PALE = range(len(COLOURS))

_GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    ".": "00000 00000 00000 00000 00000 01100 01100",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    "+": "00000 00100 00100 11111 00100 00100 00000",
    ":": "00000 01100 01100 00000 01100 01100 00000",
    "a": "00000 00000 01110 00001 01111 10001 01111",
    "b": "10000 10000 11110 10001 10001 10001 11110",
    "d": "00001 00001 01111 10001 10001 10001 01111",
    "e": "00000 00000 01110 10001 11111 10000 01110",
    "g": "00000 00000 01111 10001 01111 00001 01110",
    "h": "10000 10000 11110 10001 10001 10001 10001",
    "i": "00100 00000 01100 00100 00100 00100 01110",
    "l": "01100 00100 00100 00100 00100 00100 01110",
    "m": "00000 00000 11010 10101 10101 10101 10101",
    "n": "00000 00000 11110 10001 10001 10001 10001",
    "o": "00000 00000 01110 10001 10001 10001 01110",
    "p": "00000 00000 11110 10001 11110 10000 10000",
    "r": "00000 00000 10110 11001 10000 10000 10000",
    "s": "00000 00000 01111 10000 01110 00001 11110",
    "t": "01000 01000 11110 01000 01000 01001 00110",
    "x": "00000 00000 10001 01010 00100 01010 10001",
}
"""Five by seven, as far as a plot's words need letters; others leave a gap."""
_WIDTH, HEIGHT, _STEP = 5, 7, 6


class Picture:
    """Pixels, each a number of COLOURS; what is drawn outside is cut off."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._rows = [bytearray(width) for _ in range(height)]

    def dot(self, x: int, y: int, colour: int, size: int = 1) -> None:
        """A square whose upper left corner is here."""
        for row in range(max(0, y), min(self.height, y + size)):
            for column in range(max(0, x), min(self.width, x + size)):
                self._rows[row][column] = colour

    def line(self, start: tuple[int, int], end: tuple[int, int], colour: int, size: int = 1) -> None:
        """A straight line, both ends in it."""
        (x, y), (to_x, to_y) = start, end
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            self.dot(x + round((to_x - x) * step / steps), y + round((to_y - y) * step / steps), colour, size)

    def text(self, x: int, y: int, words: str, *, size: int = 2, colour: int = INK) -> None:
        """Words, their upper left corner here, each of the font's pixels `size` wide."""
        for at, letter in enumerate(words):
            for row, bits in enumerate(_GLYPHS.get(letter, "").split()):
                for column, bit in enumerate(bits):
                    if bit == "1":
                        self.dot(x + (at * _STEP + column) * size, y + row * size, colour, size)

    def png(self) -> bytes:
        """The file's bytes."""
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        palette = b"".join(bytes(colour) for colour in COLOURS)
        pixels = zlib.compress(b"".join(b"\0" + row for row in self._rows), 9)
        parts = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", pixels), (b"IEND", b""))
        return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def width(words: str, size: int = 2) -> int:
    """Pixels that words take."""
    return max(0, len(words) * _STEP - (_STEP - _WIDTH)) * size


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
