"""Asking a person for a password, on the terminal itself: never from a pipe, never echoed."""

from __future__ import annotations

import getpass
import os

from bundler.core.secret import Secret
from bundler.transport.keyring import Need


def on_terminal(need: Need) -> Secret | None:
    """Ask on /dev/tty. None where this process has no terminal, or the answer is empty."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    again = f"wrong {need.kind}; " if need.refused else ""
    return Secret(getpass.getpass(f"{again}{need.kind} of {need.of}: ")) or None
