"""Bytes and seconds, as people write and read them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGTP", start=1)
    for suffix, base in (("iB", 1024), ("B", 1000), ("", 1024))
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKMGTP]?(?:iB|B)?)\s*")


def parse_size(text: str) -> int:
    """Bytes of `48GiB` (1024s), `48GB` (1000s), `48G` (1024s) or `1234`. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"a size reads like 48GiB, 500MB or 1024, saw: {text!r}")
    return int(float(match[1]) * _UNITS[match[2].replace("k", "K")])


def format_size(count: float) -> str:
    """Bytes for people: `312 B`, `1.4 GB` (1000s, as disks and networks are sold)."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5 or unit == "TB":
            return f"{count:.1f} {unit}" if count < 99.95 else f"{count:.0f} {unit}"
    raise AssertionError("unreachable")


def format_duration(seconds: float) -> str:
    """Seconds for people: `0.4 s`, `42 s`, `3 min 10 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
