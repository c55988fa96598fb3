"""Numbers as the pages write them: bytes and seconds as the command line does, counts with thin spaces."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from bundler.core.size import format_duration, format_size

THIN = "\N{NARROW NO-BREAK SPACE}"
_CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
"""Control characters to the pictures that Unicode has of them."""
_TURNING = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
"""Letters that turn the direction of what follows, so of our own words too, to the sign for what can't be shown."""


def size(count: float) -> str:
    """Bytes, whose unit does not slip into the next line."""
    return format_size(count).replace(" ", "\N{NO-BREAK SPACE}")


def duration(seconds: float) -> str:
    """Seconds, for people."""
    return format_duration(seconds).replace(" ", "\N{NO-BREAK SPACE}")


def on_axis(label: str) -> str:
    """A size or a duration as a scale has it, whose numbers are round: without `.0` and without `0 s`."""
    return re.sub(r"\.0(?=\s)|(?<=min)\s0\ss$|(?<=h)\s0\smin$", "", label)


def count(number: float) -> str:
    """12 345 678."""
    return f"{number:,.0f}".replace(",", THIN)


def per_cent(part: float) -> str:
    """A share as `12 %`; what is not nothing is not shown as 0, and what is not all of it not as 100."""
    value = part * 100
    if 0 < value < 0.1:
        return f"<{THIN}0.1{THIN}%"
    if 0 < value < 10 or 99 < value < 100:
        shown = min(value, 99.9)
        return f"{shown:.1f}{THIN}%".replace(f".0{THIN}", THIN)
    return f"{value:.0f}{THIN}%"


def short(words: str, most: int = 20) -> str:
    """Words that fit over a bar on a phone."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def plain(value: object) -> str:
    """Any text, with its control characters shown instead of obeyed, and what is no character replaced."""
    return str(value).translate(_CONTROL | _TURNING).encode("utf-8", "replace").decode()


def ticks(highest: float, most: int = 5) -> Sequence[float]:
    """Round numbers from 0 to at most `highest`: steps of 1, 2 or 5 times a power of ten, `most` steps or fewer."""
    if highest <= 0:
        return (0.0,)
    power = 10.0 ** math.floor(math.log10(highest / most))
    step = next(power * one for one in (1, 2, 5, 10) if highest / (power * one) <= most)
    return tuple(step * number for number in range(int(highest / step + 1e-9) + 1))
