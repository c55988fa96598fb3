"""`SHA256SUMS`: what `sha256sum -c` reads beside the volumes."""

from __future__ import annotations

import re
from pathlib import Path

from bundler.core.digest import Digest
from bundler.core.durable import write_file

NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def read(directory: Path) -> dict[str, Digest]:
    """The digests that the file states, by file name; empty where there is none. Lines of no meaning are left out."""
    try:
        text = (directory / NAME).read_text(errors="replace")
    except FileNotFoundError:
        return {}
    return {match[2]: Digest(match[1]) for line in text.splitlines() if (match := _LINE.fullmatch(line))}


def state(directory: Path, name: str, digest: Digest) -> None:
    """State a file's digest, durably. Lines of files that are gone are dropped."""
    sums = {other: stated for other, stated in read(directory).items() if (directory / other).is_file()}
    sums[name] = digest
    text = "".join(f"{stated.hex}  {other}\n" for other, stated in sorted(sums.items()))
    write_file(directory / NAME, text.encode())


def forget(directory: Path, name: str) -> None:
    """State nothing of a file that is about to be replaced."""
    sums = read(directory)
    if sums.pop(name, None):
        write_file(directory / NAME, "".join(f"{d.hex}  {n}\n" for n, d in sorted(sums.items())).encode())
