"""What is said when the world can't be made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")


class WorldError(Exception):
    """One line: what is missing, and how to go on by hand."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what} (hint: {hint})" if hint else what)


def search_path() -> str:
    """PATH with the directories of daemons, which a user's may lack (`su` without a dash, cron)."""
    return os.pathsep.join(filter(None, (os.environ.get("PATH"), *_SYSTEM_DIRECTORIES)))


def find_program(name: str, package: str) -> str:
    """The path of a system program."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise WorldError(f"{name} is not installed", f"apt-get install --no-install-recommends {package}")
    return found


def require_root(purpose: str) -> None:
    """Network namespaces and engines need root."""
    if os.geteuid() != 0:
        raise WorldError(f"{purpose} needs root", "run it again as root, or with sudo")


def last_line(log: Path) -> str:
    """The last line of a log with words in it, for an error that must stay one line."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "empty log")
