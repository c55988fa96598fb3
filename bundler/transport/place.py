"""Where a remote store is, and how a person gets there."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A directory on a host. `reach` is the command that runs another one there: `ssh -p 2222 ops@intranet`.

    `directory` is absolute once the host has been asked.
    """

    host: str
    directory: str
    reach: tuple[str, ...]

    def run(self, *command: str) -> str:
        """How a person runs a command there: quoted for the shell here and for the one there."""
        return shlex.join((*self.reach, shlex.join(command)))

    def __str__(self) -> str:
        return f"{self.host}:{self.directory}"
