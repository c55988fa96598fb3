"""The program of the far end, and the one command that starts it in whatever shell the login has."""

from __future__ import annotations

import shlex
from functools import cache
from importlib.resources import files

from bundler.store.layout import LAYOUT, encode_index

HELLO = "bundle-remote 1 "
"""The first answer, with the far end's name as an owner; what shell profiles print comes before it."""


LOCK_SECONDS = 30
"""How long the far end waits for a lock of the index that another process holds."""


def program(directory: str) -> bytes:
    """The far end's program, for the store in this directory of the host."""
    place = directory if directory.startswith("/") else f"./{directory}"
    values = {
        "store": place,
        "layout": LAYOUT.decode(),
        "empty_index": encode_index(()).decode(),
        "lock_seconds": str(LOCK_SECONDS),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()).encode() + _text()


def launcher(program: bytes) -> str:
    """The command for ssh. It reads the program from stdin and runs it.

    So the login shell, which may be csh or fish, never parses a word of ours, and no command line grows with a path.
    POSIX has no reader that is sure to stop at a byte but dd with blocks of one.
    """
    return f"exec sh -c 'eval \"$(dd bs=1 count={len(program)} 2>/dev/null)\"'"


@cache
def _text() -> bytes:
    room = files("bundler.transport")
    parts = ("remote_look.sh", "remote_split.sh", "remote_index.sh", "remote.sh")
    return b"".join((room / name).read_bytes() for name in parts)
